"""Creates, lists and reads with the client that openapi-python-client generated. Usage: openapi_python_client.py URL"""

import sys

from pb_client import Client
from pb_client.api.prompts import handlers_prompts_create, handlers_prompts_list
from pb_client.api.sessions import (
    handlers_sessions_create_with_prompt,
    handlers_sessions_list,
    handlers_sessions_read,
)
from pb_client.models import (
    CreatePromptInput,
    CreateSessionWithPromptInput,
    InboxStatus,
    PromptItem,
    PromptStatus,
    SessionStatus,
    UiStatus,
)

client = Client(base_url=sys.argv[1])
body = CreateSessionWithPromptInput(
    repo="owner/name", target_branch="main", messages=[PromptItem(content="One", type_="text")]
)
created = handlers_sessions_create_with_prompt.sync(client=client, body=body, idempotency_key="python")
prompt = CreatePromptInput(session_id=created.session_id, data="Two")
follow_up = handlers_prompts_create.sync(client=client, body=prompt)

listed = handlers_sessions_list.sync(client=client, status=[UiStatus.PENDING])
assert created.session_id in [one.id for one in listed.sessions], listed

session = handlers_sessions_read.sync(client=client, id=created.session_id).session
assert session.id == created.session_id
assert session.inbox_status is InboxStatus.PENDING, session
assert session.session_status is SessionStatus.ACTIVE, session
assert session.cancellation_status is None and session.parent is None, session
assert session.messages[0].content == "One", session

prompts = handlers_prompts_list.sync(client=client, session_id=created.session_id).prompts
assert [one.id for one in prompts] == [created.prompt_id, follow_up.id], prompts
assert prompts[0].data == [{"content": "One", "type": "text"}], prompts
assert prompts[1].data == "Two", prompts
for one in prompts:
    assert one.status is PromptStatus.QUEUED, one
    assert one.error_kind is None and one.memory is None and one.usage is None, one
