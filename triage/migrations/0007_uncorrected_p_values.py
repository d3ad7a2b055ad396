from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0006_breach_ids_of_a_flag")]

    operations = [
        migrations.AddField(
            model_name="flag", name="p_value_uncorrected", field=models.FloatField(null=True)
        )
    ]
