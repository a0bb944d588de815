package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/schemas"
)

// TestWear: what is to look like an attack that was here before is matched by its signatures.
func TestWear(t *testing.T) {
	texts := []string{`user_agent="curl/8.0"`, `accept_language="" accept_encoding="gzip"`, `path_shape="/s2/d1" method="POST"`, `referer="none" cookie="none"`, `query_keys="a&b"`}
	for _, f := range schemas.AgentFamilies() {
		texts = append(texts, `protocol="HTTP/1.1" agent_family="`+f.Name+`"`)
	}
	texts = append(texts, `agent_family="tool"`, `agent_family="none"`)
	parser := accesslog.New(accesslog.Weir)
	for _, text := range texts {
		s, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		r := simulate.Record{Request: simulate.Request{Site: "www.example.org", UserAgent: "Mozilla/5.0 (X11) Firefox/130.0", Method: "GET", Protocol: "HTTP/2.0"}}
		r.URI, r.Client, r.Time, r.Status = "/page", netip.MustParseAddr("192.0.2.1"), time.Unix(1e9, 0), 200
		wear(&r, s)
		var q schemas.Request
		line := simulate.AppendJSON(nil, &r)
		if reason := parser.Parse(line[:len(line)-1], &q); reason != 0 {
			t.Fatalf("%s: %s: %s", text, reason, line)
		}
		if match, _ := s.Match(&q, nil); !match {
			t.Errorf("%s is not worn by %s", text, line)
		}
	}
	own := []drillLine{{text: []byte(`{"time":"1","host":"www.example.org","client":"192.0.2.1","method":"GET","uri":"/","protocol":"HTTP/1.1","status":200,"bytes":1,"user_agent":"curl/8.0"}`)},
		{text: []byte(`{"time":"2","host":"www.example.org","client":"192.0.2.2","method":"GET","uri":"/","protocol":"HTTP/1.1","status":200,"bytes":1,"user_agent":"Firefox"}`)}}
	if s, err := schemas.ParseSignature(texts[0]); err != nil || len(withoutAttack(own, []schemas.Signature{s})) != 1 {
		t.Errorf("the attack's request stays in the ordinary traffic (%v)", err)
	}
}
