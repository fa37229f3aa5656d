// Creates, lists and reads with the client that oapi-codegen generated. Usage: go run . URL
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"slices"

	"prompt-backend/generators/pb"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func expect(what string, holds bool, seen any) {
	if !holds {
		text, _ := json.Marshal(seen)
		log.Fatalf("%s: %s", what, text)
	}
}

func main() {
	ctx := context.Background()
	client, err := pb.NewClientWithResponses(os.Args[1])
	check(err)

	text, key := "text", "oapi-codegen"
	var content pb.PromptContent
	check(content.FromPromptContent0("One"))
	var messages, data pb.PromptData
	check(messages.FromPromptData5([]pb.PromptItem{{Content: content, Type: &text}}))
	check(data.FromPromptData0("Two"))

	params := &pb.HandlersSessionsCreateWithPromptParams{IdempotencyKey: &key}
	body := pb.CreateSessionWithPromptInput{Repo: "owner/name", TargetBranch: "main", Messages: messages}
	created, err := client.HandlersSessionsCreateWithPromptWithResponse(ctx, params, body)
	check(err)
	expect("a session is created", created.JSON200 != nil, string(created.Body))
	id := created.JSON200.SessionId
	prompt := pb.CreatePromptInput{SessionId: id, Data: data}
	followUp, err := client.HandlersPromptsCreateWithResponse(ctx, nil, prompt)
	check(err)
	expect("a prompt is created", followUp.JSON200 != nil, string(followUp.Body))

	filter := &pb.HandlersSessionsListParams{Status: &[]pb.UiStatus{pb.UiStatusPending}}
	listed, err := client.HandlersSessionsListWithResponse(ctx, filter)
	check(err)
	expect("sessions are listed", listed.JSON200 != nil, string(listed.Body))
	isIt := func(one pb.SessionDto) bool { return one.Id == id }
	expect("the session is listed", slices.ContainsFunc(listed.JSON200.Sessions, isIt), listed.JSON200)

	read, err := client.HandlersSessionsReadWithResponse(ctx, id, nil)
	check(err)
	expect("the session is read", read.JSON200 != nil, string(read.Body))
	session := read.JSON200.Session
	expect("inboxStatus", session.InboxStatus == pb.InboxStatusPending, session)
	expect("sessionStatus", session.SessionStatus == pb.SessionStatusActive, session)
	expect("null", session.CancellationStatus == nil && session.Parent == nil, session)
	expect("the conversation", (*session.Messages)[0].Content == "One", session)

	list, err := client.HandlersPromptsListWithResponse(ctx, id, nil)
	check(err)
	expect("prompts are listed", list.JSON200 != nil, string(list.Body))
	prompts := list.JSON200.Prompts
	expect("both prompts", len(prompts) == 2 && prompts[1].Id == followUp.JSON200.Id, prompts)
	first, err := json.Marshal(prompts[0].Data)
	check(err)
	expect("the first prompt", string(first) == `[{"content":"One","type":"text"}]`, string(first))
	expect("the second prompt", prompts[1].Data == "Two", prompts[1])
	for _, one := range prompts {
		expect("status", one.Status == pb.PromptStatusQueued, one)
		expect("null", one.ErrorKind == nil && one.Memory == nil && one.Usage == nil, one)
	}
}
