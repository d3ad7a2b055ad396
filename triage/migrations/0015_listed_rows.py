from django.db import migrations, models


class Migration(migrations.Migration):
    """Records list the rows that were written with them. The first start after it lists the rows of before, once."""

    dependencies = [
        ('triage', '0014_seals'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditrecord',
            name='rows',
            field=models.JSONField(null=True),
        ),
        migrations.AddIndex(
            model_name='auditrecord',
            index=models.Index(condition=models.Q(('rows__isnull', False)), fields=['number'], name='audit_with_rows'),
        ),
    ]
