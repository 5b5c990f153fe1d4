"""The addresses of the console's pages, below admin/console/."""

from functools import partial

from django.urls import path

from connectors.access import ADD as ADD_CONNECTORS
from connectors.access import CHANGE as CHANGE_CONNECTORS
from connectors.access import VIEW as VIEW_CONNECTORS
from pipeline.access import AUDIT, CONTROL, PRODUCE, REPLAY, RESET, console_view
from pipeline.console.actions import views as actions
from pipeline.console.connectors import views as connectors
from pipeline.console.dead_letters import views as dead_letters
from pipeline.console.documents import views as documents
from pipeline.console.files import views as files
from pipeline.console.groups import reset_views
from pipeline.console.groups import views as groups
from pipeline.console.panels import panel_view
from pipeline.console.practice import views as practice
from pipeline.console.sinks import views as sinks
from pipeline.console.sources import views as sources
from pipeline.console.topics import views as topics

app_name = "console"

_TOPIC = "topics/<str:cluster>/<str:name>/"
_GROUP = "groups/<str:cluster>/group/"
_RECORD = f"{_TOPIC}<int:partition>/<int:offset>/"
_FILES = "files/<str:sink>/"
_DOCUMENTS = "documents/<str:sink>/"
_LETTERS = "dead-letters/<str:sink>/"
_CONNECT = "connectors/<str:cluster>/"
_CONNECTOR = f"{_CONNECT}connector/<str:name>/"
_connectors = partial(console_view, permission=VIEW_CONNECTORS)
_LETTER = f"{_LETTERS}<str:topic>/<int:partition>/<int:offset>/"

urlpatterns = [
    path("sinks/", console_view(sinks.index), name="sinks"),
    path("sinks/overview/", console_view(panel_view(sinks.overview_panel)), name="sinks_overview"),
    path("sinks/<str:name>/", console_view(sinks.sink), name="sink"),
    path("sinks/<str:name>/processes/", console_view(panel_view(sinks.processes_panel)), name="sink_processes"),
    path("sinks/<str:name>/partitions/", console_view(panel_view(sinks.partitions_panel)), name="sink_partitions"),
    path("sinks/<str:name>/lag/<str:topic>/<int:partition>/", console_view(sinks.lag), name="sink_lag"),
    path("sinks/<str:name>/control/", console_view(sinks.control, permission=CONTROL), name="sink_control"),
    path("sources/", console_view(sources.index), name="sources"),
    path("sources/overview/", console_view(panel_view(sources.overview_panel)), name="sources_overview"),
    path("sources/<str:name>/", console_view(sources.source), name="source"),
    path("sources/<str:name>/state/", console_view(panel_view(sources.state_panel)), name="source_state"),
    path("sources/<str:name>/parts/", console_view(panel_view(sources.parts_panel)), name="source_parts"),
    path("connectors/", console_view(connectors.index, permission=VIEW_CONNECTORS), name="connectors"),
    path(f"{_CONNECT}", _connectors(panel_view(connectors.LIST)), name="connectors_list"),
    path(f"{_CONNECT}new/", console_view(connectors.edit, permission=ADD_CONNECTORS), name="connector_new"),
    path(_CONNECTOR, _connectors(connectors.connector), name="connector"),
    path(f"{_CONNECTOR}state/", _connectors(panel_view(connectors.STATE)), name="connector_state"),
    path(f"{_CONNECTOR}offsets/", _connectors(panel_view(connectors.OFFSETS)), name="connector_offsets"),
    path(f"{_CONNECTOR}edit/", console_view(connectors.edit, permission=CHANGE_CONNECTORS), name="connector_edit"),
    path(f"{_CONNECTOR}action/", _connectors(connectors.action), name="connector_action"),
    path("topics/", console_view(topics.index), name="topics"),
    path("topics/<str:cluster>/", console_view(panel_view(topics.list_panel)), name="topics_panel"),
    path(_TOPIC, console_view(topics.topic), name="topic"),
    path(f"{_TOPIC}partitions/", console_view(panel_view(topics.partitions_panel)), name="topic_partitions"),
    path(f"{_TOPIC}groups/", console_view(panel_view(topics.groups_panel)), name="topic_groups"),
    path(f"{_TOPIC}settings/", console_view(panel_view(topics.settings_panel)), name="topic_settings"),
    path(f"{_TOPIC}messages/", console_view(panel_view(topics.messages_panel)), name="topic_messages"),
    path(f"{_TOPIC}tail/", console_view(panel_view(topics.tail_panel)), name="topic_tail"),
    path(f"{_TOPIC}produce/", console_view(topics.produce_view, permission=PRODUCE), name="topic_produce"),
    path(_RECORD, console_view(topics.message), name="topic_message"),
    path(f"{_RECORD}record/", console_view(panel_view(topics.record_panel)), name="topic_record"),
    path(f"{_RECORD}value/", console_view(topics.message_value), name="topic_value"),
    path("groups/", console_view(groups.index), name="groups"),
    path("groups/<str:cluster>/", console_view(panel_view(groups.groups_panel)), name="groups_panel"),
    path(_GROUP, console_view(groups.group), name="group"),
    path(f"{_GROUP}details/", console_view(panel_view(groups.group_panel)), name="group_panel"),
    path(f"{_GROUP}reset/", console_view(reset_views.reset_view, permission=RESET), name="group_reset"),
    path("documents/", console_view(documents.index), name="documents"),
    path(_DOCUMENTS, console_view(documents.page), name="documents_of"),
    path(f"{_DOCUMENTS}histogram/", console_view(panel_view(documents.histogram_panel)), name="documents_histogram"),
    path(f"{_DOCUMENTS}hits/", console_view(panel_view(documents.hits_panel)), name="documents_hits"),
    path(f"{_DOCUMENTS}fields/", console_view(panel_view(documents.fields_panel)), name="documents_fields"),
    path(f"{_DOCUMENTS}export/", console_view(documents.export), name="documents_export"),
    path(f"{_DOCUMENTS}document/", console_view(documents.document), name="document"),
    path(f"{_DOCUMENTS}source/", console_view(panel_view(documents.document_panel)), name="document_panel"),
    path("files/", console_view(files.index), name="files"),
    path(_FILES, console_view(files.folder), name="folder"),
    path(f"{_FILES}jump/", console_view(files.jump), name="folder_jump"),
    path(f"{_FILES}summary/", console_view(panel_view(files.summary_panel)), name="folder_summary"),
    path(f"{_FILES}list/", console_view(panel_view(files.folder_panel)), name="folder_list"),
    path(f"{_FILES}file/", console_view(files.file), name="file"),
    path(f"{_FILES}preview/", console_view(panel_view(files.preview_panel)), name="file_preview"),
    path(f"{_FILES}download/", console_view(files.download_view), name="file_download"),
    path(f"{_FILES}find/<str:topic>/<int:partition>/<int:offset>/", console_view(files.find), name="file_of_record"),
    path("dead-letters/", console_view(dead_letters.index), name="dead_letters"),
    path(_LETTERS, console_view(dead_letters.reason), name="letters"),
    path(f"{_LETTERS}reasons/", console_view(panel_view(dead_letters.reasons_panel)), name="reasons_panel"),
    path(f"{_LETTERS}list/", console_view(panel_view(dead_letters.letters_panel)), name="letters_panel"),
    path(f"{_LETTERS}act/", console_view(dead_letters.act, permission=REPLAY), name="letters_act"),
    path(_LETTER, console_view(dead_letters.letter), name="letter"),
    path(f"{_LETTER}bytes/", console_view(panel_view(dead_letters.letter_panel)), name="letter_panel"),
    path("practice/", console_view(practice.index), name="practice"),
    path("practice/group/", console_view(panel_view(practice.group_panel)), name="practice_group"),
    path("practice/read/", console_view(panel_view(practice.read_panel)), name="practice_read"),
    path("practice/act/", console_view(practice.act, permission=PRODUCE), name="practice_act"),
    path("actions/", console_view(actions.index, permission=AUDIT), name="actions"),
]
