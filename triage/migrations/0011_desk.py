"""What waits is last on the lists, whose rarity is shown, and reasons that mislead."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0010_by_hand'),
    ]

    operations = [
        migrations.CreateModel(
            name='MisleadingReason',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('feature', models.CharField(max_length=100)),
                ('at', models.DateTimeField()),
                ('text', models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.RemoveIndex(
            model_name='flag',
            name='flag_in_work',
        ),
        migrations.RemoveField(
            model_name='flag',
            name='queue_place',
        ),
        migrations.AddField(
            model_name='flag',
            name='is_rarity_shown',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='flag',
            name='is_waiting',
            field=models.GeneratedField(db_persist=True, expression=models.Case(models.When(state__in=('proposed', 'snoozed', 'suppressed'), then=True), default=False), output_field=models.BooleanField()),
        ),
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(condition=models.Q(('in_work', True)), fields=['is_waiting', 'place', 'flag_id'], name='flag_in_work'),
        ),
        migrations.AddField(
            model_name='misleadingreason',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='misleadingreason',
            name='flag',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='misleading_reasons', to='triage.flag'),
        ),
        migrations.AddConstraint(
            model_name='misleadingreason',
            constraint=models.UniqueConstraint(fields=('flag', 'feature', 'by'), name='misleads_once'),
        ),
    ]
