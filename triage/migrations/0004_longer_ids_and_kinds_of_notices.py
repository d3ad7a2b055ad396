"""Ids as long as the data contract allows, and notices of nights that failed, are late or could not be imported."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0003_holds_of_confirmed_fraud'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='notice',
            name='one_notice_a_night',
        ),
        migrations.AlterField(
            model_name='notice',
            name='kind',
            field=models.CharField(choices=[('night', 'Night'), ('failed_night', 'Failed'), ('late_night', 'Late'), ('night_not_imported', 'Not Imported'), ('holds_renewed', 'Holds Renewed'), ('holds_ended', 'Holds Ended')], default='night', max_length=20),
        ),
        migrations.AlterField(
            model_name='decision',
            name='change_id',
            field=models.CharField(max_length=1000),
        ),
        migrations.AlterField(
            model_name='flag',
            name='change_id',
            field=models.CharField(db_index=True, max_length=1000),
        ),
        migrations.AlterField(
            model_name='flag',
            name='household_id',
            field=models.CharField(max_length=1000, null=True),
        ),
        migrations.AlterField(
            model_name='flag',
            name='member_id',
            field=models.CharField(db_index=True, max_length=1000, null=True),
        ),
        migrations.AlterField(
            model_name='flag',
            name='payee_id',
            field=models.CharField(db_index=True, max_length=1000),
        ),
        migrations.AlterField(
            model_name='hold',
            name='change_id',
            field=models.CharField(max_length=1000),
        ),
        migrations.AlterField(
            model_name='hold',
            name='old_change_id',
            field=models.CharField(blank=True, max_length=1000),
        ),
        migrations.AlterField(
            model_name='hold',
            name='payee_id',
            field=models.CharField(max_length=1000),
        ),
        migrations.AlterField(
            model_name='hold',
            name='payment_id',
            field=models.CharField(blank=True, max_length=1000),
        ),
        migrations.AlterField(
            model_name='user',
            name='household_id',
            field=models.CharField(blank=True, max_length=1000, verbose_name='own household number'),
        ),
        migrations.AlterField(
            model_name='user',
            name='member_id',
            field=models.CharField(blank=True, max_length=1000, verbose_name='own member number'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(condition=models.Q(('kind__startswith', 'holds_'), _negated=True), fields=('channel', 'kind', 'night'), name='one_notice_of_a_kind'),
        ),
    ]
