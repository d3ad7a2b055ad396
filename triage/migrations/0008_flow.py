"""Places of flags on the lists, who entered a change and the account before, cases put together by hand, flags given to a colleague, and two kinds of notices."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0007_uncorrected_p_values'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='flag',
            name='flag_in_work',
        ),
        migrations.AddField(
            model_name='flag',
            name='assigned_to',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='assigned', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='flag',
            name='account_before',
            field=models.CharField(blank=True, db_index=True, default='', max_length=100),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='flag',
            name='actor_id',
            field=models.CharField(blank=True, db_index=True, default='', max_length=1000),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='flag',
            name='place',
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name='flag',
            name='ring_by_hand',
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.RemoveField(model_name='flag', name='queue_place'),  # an expression cannot be altered
        migrations.AddField(
            model_name='flag',
            name='queue_place',
            field=models.GeneratedField(db_persist=True, expression=models.Case(models.When(state__in=('proposed', 'snoozed', 'suppressed'), then=2), models.When(queue='hold', then=0), default=1), output_field=models.SmallIntegerField()),
        ),
        migrations.AlterField(
            model_name='notice',
            name='kind',
            field=models.CharField(choices=[('night', 'Night'), ('failed_night', 'Failed'), ('late_night', 'Late'), ('night_not_imported', 'Not Imported'), ('night_looks', 'Looks'), ('holds_renewed', 'Holds Renewed'), ('holds_ended', 'Holds Ended'), ('holds_ending', 'Holds Ending'), ('suppressions_ending', 'Suppressions Ending')], default='night', max_length=20),
        ),
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(condition=models.Q(('in_work', True)), fields=['queue_place', 'place', 'flag_id'], name='flag_in_work'),
        ),
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(fields=['state', 'closed_at'], name='flag_closed'),
        ),
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(fields=['queue', 'state'], name='flag_queue'),
        ),
        migrations.RunSQL('UPDATE triage_flag SET place = rank', migrations.RunSQL.noop),  # until the next night
    ]
