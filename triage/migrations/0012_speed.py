from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0011_desk'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(fields=['first_flagged_on', 'queue', 'state', 'verdict'], name='flag_flagged_on'),
        ),
        migrations.AddIndex(
            model_name='flag',
            index=models.Index(condition=models.Q(('needs_second_look', True)), fields=['state'], name='flag_second_look'),
        ),
    ]
