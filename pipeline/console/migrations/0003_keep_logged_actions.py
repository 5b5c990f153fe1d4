"""Takes over what the console wrote into Django's own log of the admin before it had a table of its own."""

from django.conf import settings
from django.db import migrations

KINDS = (("sink ", "control"), ("dead letters ", "replay"))


def take_over(apps, schema_editor):
    content_type = apps.get_model("contenttypes", "ContentType").objects.filter(app_label="console", model="console").first()
    if content_type is None:
        return
    AuditEntry = apps.get_model("console", "AuditEntry")
    logged = apps.get_model("admin", "LogEntry").objects.filter(content_type=content_type).order_by("pk")
    AuditEntry.objects.bulk_create(
        (
            AuditEntry(
                at=entry.action_time,
                user=entry.user.username,
                kind=kind_of(entry.object_repr, entry.change_message),
                subject=entry.object_repr,
                what=entry.change_message,
            )
            for entry in logged.select_related("user").iterator()
        ),
        batch_size=500,
    )


def kind_of(subject, what):
    if what.startswith("practice: "):
        return "practice"
    return next((kind for begin, kind in KINDS if subject.startswith(begin)), "produce")


class Migration(migrations.Migration):

    dependencies = [
        ('admin', '0003_logentry_add_action_flag_choices'),
        ('console', '0002_audit_entry'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(take_over, migrations.RunPython.noop)]
