"""A flag keeps its strongest reason whole, so that it can be said in any language."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0001_initial")]

    operations = [migrations.AddField(model_name="flag", name="headline", field=models.JSONField(default=dict))]
