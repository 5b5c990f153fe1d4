from django.db import migrations, models
import django.utils.timezone


class Migration(migrations.Migration):

    dependencies = [
        ('console', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='console',
            options={'default_permissions': (), 'managed': False, 'permissions': [('produce', 'Can produce records to Kafka topics'), ('control', 'Can pause, resume and rewind sinks'), ('replay', 'Can replay and discard dead letters'), ('audit', 'Can see what operators did and read')], 'verbose_name': 'console', 'verbose_name_plural': 'console'},
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('user', models.CharField(max_length=150)),
                ('kind', models.CharField(choices=[('produce', 'Produced a record'), ('practice', 'Practised'), ('control', 'Steered a sink'), ('replay', 'Dealt with dead letters'), ('read', 'Read records, documents or files'), ('export', 'Exported documents'), ('download', 'Downloaded')], max_length=10)),
                ('subject', models.CharField(max_length=200)),
                ('what', models.TextField()),
                ('outcome', models.TextField(default='')),
            ],
            options={
                'default_permissions': (),
            },
        ),
    ]
