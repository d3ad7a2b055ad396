"""Notices of what a night warns of."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0004_longer_ids_and_kinds_of_notices'),
    ]

    operations = [
        migrations.AlterField(
            model_name='notice',
            name='kind',
            field=models.CharField(choices=[('night', 'Night'), ('failed_night', 'Failed'), ('late_night', 'Late'), ('night_not_imported', 'Not Imported'), ('night_looks', 'Looks'), ('holds_renewed', 'Holds Renewed'), ('holds_ended', 'Holds Ended')], default='night', max_length=20),
        ),
    ]
