from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("triage", "0005_notices_of_looks")]

    operations = [migrations.RenameField(model_name="flag", old_name="exposed_on", new_name="breach_ids")]
