"""Creates, lists and reads with the client that openapi-generator's `python` generated. Usage: openapi_generator.py URL"""

import sys

from pb_openapi import (
    ApiClient,
    Configuration,
    CreatePromptInput,
    CreateSessionWithPromptInput,
    InboxStatus,
    PromptContent,
    PromptData,
    PromptItem,
    PromptsApi,
    PromptStatus,
    SessionsApi,
    SessionStatus,
    UiStatus,
)

client = ApiClient(Configuration(host=sys.argv[1]))
sessions_api, prompts_api = SessionsApi(client), PromptsApi(client)
item = PromptItem(content=PromptContent("One"), type="text")
body = CreateSessionWithPromptInput(
    repo="owner/name", target_branch="main", messages=PromptData([item])
)
created = sessions_api.handlers_sessions_create_with_prompt(body, idempotency_key="openapi-generator")
prompt = CreatePromptInput(session_id=created.session_id, data=PromptData("Two"))
follow_up = prompts_api.handlers_prompts_create(prompt)

listed = sessions_api.handlers_sessions_list(status=[UiStatus.PENDING]).sessions
assert created.session_id in [one.id for one in listed], listed

session = sessions_api.handlers_sessions_read(created.session_id).session
assert session.id == created.session_id
assert session.inbox_status is InboxStatus.PENDING, session
assert session.session_status is SessionStatus.ACTIVE, session
assert session.cancellation_status is None and session.parent is None, session
assert session.messages[0].content == "One", session

prompts = prompts_api.handlers_prompts_list(created.session_id).prompts
assert [one.id for one in prompts] == [created.prompt_id, follow_up.id], prompts
assert prompts[0].data == [{"content": "One", "type": "text"}], prompts
assert prompts[1].data == "Two", prompts
for one in prompts:
    assert one.status is PromptStatus.QUEUED, one
    assert one.error_kind is None and one.memory is None and one.usage is None, one
