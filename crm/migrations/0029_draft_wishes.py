"""How a draft was asked for, and which facts its sentences rest on."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

TONES = ["", "warm", "neutral", "formal"]
LENGTHS = ["", "short", "medium", "long"]
LANGUAGES = ["", "en", "de", "fr", "es", "it", "nl"]
KNOWN = {"tone": TONES, "length": LENGTHS, "language": LANGUAGES}


class Migration(migrations.Migration):
    dependencies = [("crm", "0028_would_change_default")]

    operations = [
        migrations.AddField(
            model_name="followup",
            name="tone",
            field=models.CharField(
                blank=True,
                choices=[("warm", "Warm"), ("neutral", "Matter-of-fact"), ("formal", "Formal")],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="length",
            field=models.CharField(
                blank=True,
                choices=[("short", "Short"), ("medium", "Medium"), ("long", "Long")],
                db_default="",
                default="",
                max_length=6,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="language",
            field=models.CharField(
                blank=True,
                choices=[
                    ("en", "English"),
                    ("de", "German"),
                    ("fr", "French"),
                    ("es", "Spanish"),
                    ("it", "Italian"),
                    ("nl", "Dutch"),
                ],
                db_default="",
                default="",
                help_text="asked for",
                max_length=2,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="instruction",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="in whose words it was asked for",
                max_length=500,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="marks",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text='sentences of original_body with what they rest on: {"start", "end", "facts": [id]}',
            ),
        ),
        *(
            AddConstraintNotValid(  # read against the rows in 0032
                model_name="followup",
                constraint=models.CheckConstraint(
                    name=f"crm_followup_{field}_known", condition=models.Q(**{f"{field}__in": values})
                ),
            )
            for field, values in KNOWN.items()
        ),
    ]
