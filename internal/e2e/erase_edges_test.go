package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErasedAtTheEdgesToo has lines come in by an edge's collector, on another data directory,
// with an enforcer and a second processor on the same NATS. What counts beside it is in the
// way of erasing, and says so; without it, the address is in no file of any of them.
func TestErasedAtTheEdgesToo(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	bus, push := freeAddress(t), freeAddress(t)
	token := writeTo(t, filepath.Join(dir, "token"), "0123456789abcdef\n")
	config := func(name, more string) string {
		return writeTo(t, filepath.Join(dir, name+".yml"), fmt.Sprintf("data: %s\nhttp: {listen: %q}\n%s", filepath.Join(dir, name), freeAddress(t), more))
	}
	center := config("center", fmt.Sprintf("nats: {listen: %q}\nsources: [{file: %s}]\n", bus, filepath.Join(dir, "none.log")))
	there := fmt.Sprintf("nats: {url: \"nats://%s\"}\n", bus)
	main := startWith(t, center)
	edge := startCommand(t, "--config", config("edge", there+fmt.Sprintf("sources: [{http: %q, token_file: %s, site: www.example.org}]\n", push, token)), "collect")
	enforcer := startCommand(t, "--config", config("enforcer", there), "enforce")

	victim := newErased("198.51.100.77")
	var body strings.Builder
	const visitors = 40
	for i := range visitors {
		for _, client := range []string{fmt.Sprintf("192.0.2.%d", i+1), victim.String()} {
			fmt.Fprintf(&body, "%s - - [%s] \"GET /page/%d HTTP/1.1\" 200 1234 \"-\" \"Mozilla/5.0\"\n", client, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), i)
		}
	}
	until(t, "the edge takes lines", func() bool {
		response, err := http.Get("http://" + push + "/")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	post(t, push, "1", []byte(body.String()), "")
	until(t, "every request is stored", func() bool {
		got, err := weir(t, "--config", center, "sql", "SELECT count() FROM requests")
		return err == nil && got == fmt.Sprint(2*visitors)
	})
	processor := startCommand(t, "--config", config("processor", there), "process")
	mustWeir(t, "--config", center, "decisions", "add", "client", victim.String(), "--for", "1h", "--reason", "asked too much")
	until(t, "the other processor is in the way", func() bool { // until it is known, erasing goes well
		out, err := weir(t, "--config", center, "erase", victim.String())
		return err != nil && strings.Contains(err.Error(), "more processes count requests") && out == ""
	})
	processor.end(t)
	until(t, "it is erased", func() bool {
		_, err := weir(t, "--config", center, "erase", victim.String())
		return err == nil
	})
	until(t, "the edge's spool has let go of it", func() bool { return len(filesWith(t, filepath.Join(dir, "edge"), victim, nil)) == 0 })
	enforcer.end(t)
	edge.end(t)
	main.end(t)
	if files := filesWith(t, dir, victim, nil); len(files) > 0 {
		t.Errorf("it is still in %v", files)
	}
}
