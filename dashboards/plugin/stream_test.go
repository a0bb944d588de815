package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"

	"github.com/weir-project/weir/schemas"
)

// last is the time up to now.
func last(d time.Duration) backend.TimeRange {
	now := time.Now().UTC()
	return backend.TimeRange{From: now.Add(-d), To: now}
}

// request appends one to the log that weir run follows, as nginx would.
func (f *fixture) request(path, action string, status int) error {
	return f.requestAt(time.Now(), path, action, status)
}

func (f *fixture) requestAt(at time.Time, path, action string, status int) error {
	file, err := os.OpenFile(f.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, `{"time":"%.3f","host":%q,"client":"192.0.2.7","method":"GET","uri":%q,"protocol":"HTTP/2.0","status":%d,"bytes":10,"duration":0.01,"referer":"","user_agent":"live","action":%q}`+"\n",
		float64(at.UnixMilli())/1000, site, path, status, action)
	return errors.Join(err, file.Close())
}

// path is the stream's, of a frame's channel.
func path(t testing.TB, frame *data.Frame) string {
	t.Helper()
	found, ok := strings.CutPrefix(frame.Meta.Channel, "ds/"+uid+"/")
	if !ok || len(frame.Meta.Channel) > maxChannel {
		t.Fatalf("the channel is %q", frame.Meta.Channel)
	}
	return found
}

// watch runs a stream until ctx ends, and hands over the values of each frame.
func (s *started) watch(ctx context.Context, path string, each func(values [][]*float64)) error {
	stream, err := s.stream.RunStream(ctx, &pluginv2.RunStreamRequest{PluginContext: backend.ToProto().PluginContext(s.context), Path: path})
	if err != nil {
		return err
	}
	for {
		packet, err := stream.Recv()
		if err != nil {
			return err
		}
		var frame struct {
			Schema json.RawMessage `json:"schema"`
			Data   struct {
				Values [][]*float64 `json:"values"`
			} `json:"data"`
		}
		if err := json.Unmarshal(packet.Data, &frame); err != nil {
			return err
		}
		if frame.Schema != nil {
			return fmt.Errorf("a frame with a schema: %s", packet.Data)
		}
		each(frame.Data.Values)
	}
}

var errEnough = errors.New("enough")

// seen watches until a frame is as wanted.
func (s *started) seen(t *testing.T, path string, wanted func(values [][]*float64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("no such frame within a minute"))
	defer cancel()
	inner, enough := context.WithCancelCause(ctx)
	err := s.watch(inner, path, func(values [][]*float64) {
		if wanted(values) {
			enough(errEnough)
		}
	})
	if !errors.Is(context.Cause(inner), errEnough) {
		t.Fatalf("%v: %v", err, context.Cause(inner))
	}
}

// TestLive follows requests from nginx's log through collector and NATS to the frames that a
// browser gets: the history's columns are those of the rows that follow.
func TestLive(t *testing.T) {
	f := ready(t)
	frame := f.plugin.one(t, last(10*time.Minute), `{"kind":"traffic","sites":["`+site+`"],"live":true}`)
	if len(frame.Fields) != 4 || frame.Fields[2].Name != "failed" {
		t.Fatalf("the history has the columns %v", frame.Fields)
	}
	channel := path(t, frame)
	answer, err := f.plugin.stream.SubscribeStream(t.Context(), &pluginv2.SubscribeStreamRequest{PluginContext: backend.ToProto().PluginContext(f.plugin.context), Path: channel})
	if err != nil || answer.Status != pluginv2.SubscribeStreamResponse_OK {
		t.Fatalf("%v, %v", answer, err)
	}
	for i, c := range []struct {
		action string
		status int
	}{{"allow", 200}, {"allow", 502}, {"block", 403}} {
		f.plugin.seen(t, channel, func(values [][]*float64) bool {
			if err := f.request("/live", c.action, c.status); err != nil {
				t.Error(err)
			}
			return values[i+1][0] != nil && *values[i+1][0] > 0
		})
	}
	for _, other := range []string{"", "traffic/", "traffic/e30", "nonsense", strings.Repeat("x", 1000), "signals/" + strings.TrimPrefix(channel, "traffic/")} {
		answer, err := f.plugin.stream.SubscribeStream(t.Context(), &pluginv2.SubscribeStreamRequest{PluginContext: backend.ToProto().PluginContext(f.plugin.context), Path: other})
		if err != nil || answer.Status != pluginv2.SubscribeStreamResponse_NOT_FOUND {
			t.Errorf("%.40q: %v, %v", other, answer, err)
		}
	}
	published, err := f.plugin.stream.PublishStream(t.Context(), &pluginv2.PublishStreamRequest{PluginContext: backend.ToProto().PluginContext(f.plugin.context), Path: channel, Data: []byte("{}")})
	if err != nil || published.Status != pluginv2.PublishStreamResponse_PERMISSION_DENIED {
		t.Errorf("a browser published: %v, %v", published, err)
	}
}

// call is a resource call as Grafana makes it.
func (s *started) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	route, _, _ := strings.Cut(path, "?")
	request := &backend.CallResourceRequest{PluginContext: s.context, Method: method, Path: route, URL: path, Headers: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(body)}
	stream, err := s.resource.CallResource(t.Context(), backend.ToProto().CallResourceRequest(request))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return int(answer.Code), string(answer.Body)
}

// TestPeopleDecide accepts, extends and lifts a decision of weir's by resource calls, and
// finds each on the stream and in the store with the person's name; who may not edit is
// refused.
func TestPeopleDecide(t *testing.T) {
	f := ready(t)
	state, revision := f.state(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	own := schemas.Event{Type: schemas.DecisionAdded, Time: now, Sites: []string{site}, Incident: "i261129-010101", Decision: &schemas.Decision{
		ID: "i261129-010101-1", Action: schemas.Challenge, Scope: schemas.ScopeClient, Value: "192.0.2.99", Expires: now.Add(time.Hour), Origin: schemas.OriginWeir,
	}}
	if err := state.Publish(t.Context(), revision, []schemas.Event{own}); err != nil {
		t.Fatal(err)
	}
	viewer := f.plugin.as(f.settings(), "eve", "Viewer")
	nobody := f.plugin.as(f.settings(), "", "")
	for _, path := range []string{"decisions/accept", "decisions/lift", "decisions/extend", "decisions/allow", "panic/off", "panic/on"} {
		if code, text := viewer.call(t, http.MethodPost, path, `{"ids":["`+own.ID+`"]}`); code != http.StatusForbidden || !strings.Contains(text, "needs Editor") {
			t.Errorf("a viewer's %s: %d %s", path, code, text)
		}
		if code, text := nobody.call(t, http.MethodPost, path, `{"ids":["`+own.ID+`"]}`); code != http.StatusUnauthorized {
			t.Errorf("nobody's %s: %d %s", path, code, text)
		}
	}
	for path, body := range map[string]string{"decisions/lift": `{"ids":["none"]}`, "decisions/accept": `{"ids":[]}`, "decisions/extend": `{"ids":["` + own.ID + `"],"for":"-1h"}`, "panic/maybe": `{}`, "decisions/lift ": `x`} {
		if code, text := f.plugin.call(t, http.MethodPost, strings.TrimSpace(path), body); code/100 != 4 {
			t.Errorf("%s %s: %d %s", path, body, code, text)
		}
	}
	decided := func(path, body string) schemas.Event {
		t.Helper()
		code, text := f.plugin.call(t, http.MethodPost, path, body)
		var answer done
		if err := json.Unmarshal([]byte(text), &answer); err != nil || code != http.StatusOK || len(answer.Events) != 1 {
			t.Fatalf("%s: %d %s %v", path, code, text, err)
		}
		return answer.Events[0]
	}
	accepted := decided("decisions/accept", `{"ids":["`+own.Incident+`"],"for":"30m"}`)
	if accepted.Origin != "grafana:alice" || accepted.Reason != "accepted: "+own.ID || accepted.Value != own.Value {
		t.Errorf("accepted: %+v", accepted.Decision)
	}
	extended := decided("decisions/extend", `{"ids":["`+accepted.ID+`"],"for":"2h"}`)
	if extended.Type != schemas.DecisionRenewed || !extended.Expires.After(accepted.Expires) || extended.Reason != "extended by grafana:alice" {
		t.Errorf("extended: %+v", extended)
	}
	lifted := decided("decisions/lift", `{"ids":["`+accepted.ID+`"]}`)
	if lifted.Type != schemas.DecisionRemoved || lifted.Reason != schemas.RemovedBy+"grafana:alice" {
		t.Errorf("lifted: %+v", lifted)
	}
	for body, want := range map[string]string{
		`{"value":"0.0.0.0/0"}`: "a part of the world", `{"value":"shop.example.org"}`: "neither an address nor a prefix", `{}`: "neither an address nor a prefix",
		`{"value":"192.0.2.1","for":"9000h"}`: "at most", `{"value":"192.0.2.1","reason":"` + strings.Repeat("x", 501) + `"}`: "too long",
	} {
		if code, text := f.plugin.call(t, http.MethodPost, "decisions/allow", body); code != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("allow %s: %d %s", body, code, text)
		}
	}
	allow := decided("decisions/allow", `{"value":" 192.0.2.64/26","for":"30m","reason":"our own\u202e monitor"}`)
	if allow.Action != schemas.Allow || allow.Value != "192.0.2.64/26" || allow.Scope != schemas.ScopePrefix || len(allow.Sites) != 0 || strings.Contains(allow.Reason, "\u202e") {
		t.Errorf("allowed: %+v", allow)
	}
	err := eventually(func() error { // and who it was is on record
		frame := f.plugin.one(t, last(time.Hour), `{"kind":"decisions","state":"in_force","where":{"decision":"`+allow.ID+`"}}`)
		if frame.Rows() != 1 {
			return fmt.Errorf("%d rows", frame.Rows())
		}
		got := map[string]string{}
		for i, field := range frame.Fields {
			got[field.Name] = cellText(frame, i, 0)
		}
		if got["action"] != "allow" || got["origin"] != "grafana:alice" || !strings.HasSuffix(got["reason"], " monitor") {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	decided("decisions/lift", `{"ids":["`+allow.ID+`"]}`)
	// The record: every step, in the store, with the name.
	err = eventually(func() error {
		frame := f.plugin.one(t, last(time.Hour), `{"kind":"sql","sql":"SELECT type, reason, origin FROM decisions WHERE decision = '`+accepted.ID+`' ORDER BY time"}`)
		var got []string
		for i := range frame.Rows() {
			got = append(got, cellText(frame, 0, i)+" "+cellText(frame, 1, i)+" "+cellText(frame, 2, i))
		}
		want := "decision.added accepted: " + own.ID + " grafana:alice, decision.renewed extended by grafana:alice grafana:alice, decision.removed removed by grafana:alice grafana:alice"
		if strings.Join(got, ", ") != want {
			return fmt.Errorf("the record is %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// weir's own desk took them as it takes its own.
	if code, text := f.plugin.call(t, http.MethodGet, "decisions", ""); code != http.StatusOK || strings.Contains(text, accepted.ID) || !strings.Contains(text, own.ID) {
		t.Errorf("in force: %d %s", code, text)
	}
	for _, to := range []string{"off", "on"} {
		if code, text := f.plugin.call(t, http.MethodPost, "panic/"+to, `{}`); code != http.StatusOK || !strings.Contains(text, "grafana:alice") {
			t.Errorf("panic %s: %d %s", to, code, text)
		}
		err := eventually(func() error { // who it was is on record
			frame := f.plugin.one(t, last(time.Hour), `{"kind":"sql","sql":"SELECT if(off, 'off', 'on'), by FROM panics ORDER BY time DESC LIMIT 1"}`)
			if frame.Rows() == 0 || cellText(frame, 0, 0) != to || cellText(frame, 1, 0) != "grafana:alice" {
				return fmt.Errorf("panic %s is not on record: %d rows", to, frame.Rows())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	// A site of this week is offered; that of the past attack may be older.
	if err := f.request("/offered", "allow", 200); err != nil {
		t.Fatal(err)
	}
	err = eventually(func() error {
		if code, text := f.plugin.call(t, http.MethodGet, "values?of=sites", ""); code != http.StatusOK || !strings.Contains(text, site) {
			return fmt.Errorf("values: %d %s", code, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
