from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triage', '0008_flow'),
    ]

    operations = [
        migrations.AlterField(
            model_name='decision',
            name='reason_code',
            field=models.CharField(blank=True, choices=[('B01', 'Bank switch confirmed'), ('B02', 'Mobility mandate'), ('B03', 'Bank merger'), ('B04', 'A returned payment led to it'), ('B05', 'Joint or household account'), ('B11', 'First account, or a new member'), ('B12', 'Back to an earlier own account'), ('B13', 'Nothing wrong on the evidence'), ('B08', 'Life event'), ('B06', 'Guardian or institution'), ('B07', 'Typing error'), ('B09', 'Cross-border'), ('B10', 'Employer'), ('B99', 'Other'), ('F01', 'Account takeover'), ('F02', 'Mule account'), ('F03', 'Fabricated claim'), ('F04', 'Diverted pending payment'), ('F05', 'Insider or broker'), ('F06', 'Provider redirection'), ('F07', 'Stolen identity at enrolment'), ('F08', 'Deceased member'), ('F09', 'Complicit member'), ('F10', 'Double insurance'), ('F99', 'Other'), ('D01', 'Wrong link'), ('D02', 'Duplicate'), ('D03', 'Late feed')], max_length=10),
        ),
    ]
