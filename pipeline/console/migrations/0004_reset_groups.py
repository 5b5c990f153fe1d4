from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('console', '0003_keep_logged_actions'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='console',
            options={'default_permissions': (), 'managed': False, 'permissions': [('produce', 'Can produce records to Kafka topics'), ('control', 'Can pause, resume and rewind sinks'), ('replay', 'Can replay and discard dead letters'), ('reset', 'Can reset the offsets of consumer groups'), ('audit', 'Can see what operators did and read')], 'verbose_name': 'console', 'verbose_name_plural': 'console'},
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='kind',
            field=models.CharField(choices=[('produce', 'Produced a record'), ('practice', 'Practised'), ('control', 'Steered a sink'), ('replay', 'Dealt with dead letters'), ('reset', 'Reset a consumer group'), ('read', 'Read records, documents or files'), ('export', 'Exported documents'), ('download', 'Downloaded')], max_length=10),
        ),
    ]
