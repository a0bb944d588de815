package demo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

// The inbox takes what is signed with its key, once.
func TestInbox(t *testing.T) {
	b := NewInbox()
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	post := func(key, id, body string) int {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("1763788097." + body))
		request, err := http.NewRequest(http.MethodPost, b.URL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Weir-Timestamp", "1763788097")
		request.Header.Set("Weir-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		request.Header.Set("Idempotency-Key", id)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	const message = `{"id":"a-1","thread":"weir-i1","kind":"opened","headline":"38 % of visitors are being served"}`
	for _, c := range []struct {
		key, id, body string
		status        int
	}{
		{b.Key(), "a-1", message, 200}, {b.Key(), "a-1", message, 200}, {"another", "a-1", message, 403},
		{b.Key(), "a-2", message, 422}, {b.Key(), "a-1", "nonsense", 422},
	} {
		if got := post(c.key, c.id, c.body); got != c.status {
			t.Errorf("%s %s: %d, want %d", c.id, c.body, got, c.status)
		}
	}
	if told := b.Told(); len(told) != 1 || told[0].Kind != "opened" {
		t.Errorf("%+v", told)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
