package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// numberedLine is a line of the time of now.
func numberedLine(i int) string {
	return fmt.Sprintf("198.51.%d.%d - - [%s] \"GET /n/%d HTTP/1.1\" 200 10 \"-\" \"a\"", i/250%250, i%250, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), i)
}

// bodyOf is so many numbered lines, each time in another form.
func bodyOf(t *testing.T, first, n int) (body []byte, encoding string) {
	t.Helper()
	var out bytes.Buffer
	var events []map[string]string
	for i := first; i < first+n; i++ {
		events = append(events, map[string]string{"message": numberedLine(i), "host": "x"})
	}
	switch first / n % 3 {
	case 0:
		for _, e := range events {
			fmt.Fprintln(&out, e["message"])
		}
		return out.Bytes(), ""
	case 1:
		w := gzip.NewWriter(&out)
		for _, e := range events {
			if err := json.NewEncoder(w).Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes(), "gzip"
	}
	array, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(array, nil), "zstd"
}

// post sends a body until it is taken, and gives how often that was.
func post(t *testing.T, address, id string, body []byte, encoding string) (tries int) {
	t.Helper()
	until(t, "body "+id+" is taken", func() bool {
		tries++
		r, err := http.NewRequest(http.MethodPost, "http://"+address+"/ingest/web1", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		r.Header.Set("Idempotency-Key", id)
		if encoding != "" {
			r.Header.Set("Content-Encoding", encoding)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusNoContent
	})
	return tries
}

// TestPushedByHTTP sends numbered lines while weir is killed again and again, and every
// body twice: each line is in ClickHouse once.
func TestPushedByHTTP(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	address, data, metrics := freeAddress(t), filepath.Join(dir, "data"), freeAddress(t)
	token := writeTo(t, filepath.Join(dir, "token"), "0123456789abcdef\n")
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nhttp: {listen: %q}\nsources:\n  - {http: %q, token_file: %s, site: www.example.org}\n", data, metrics, address, token))
	w := startWith(t, config)
	const bodies, lines = 60, 50
	kills := 0
	for i := range bodies {
		body, encoding := bodyOf(t, i*lines, lines)
		restarted := make(chan *running, 1)
		if i%20 == 10 { // while it is being taken, or before, or after
			go func() { w.kill(); restarted <- startWith(t, config) }()
			kills++
		}
		post(t, address, fmt.Sprint(i), body, encoding)
		if i%20 == 10 {
			w = <-restarted
		}
		post(t, address, fmt.Sprint(i), body, encoding)
	}
	until(t, "every line is in ClickHouse once", func() bool {
		return countSite(t, data, "www.example.org") == fmt.Sprintf("%d %d", bodies*lines, bodies*lines)
	})
	if got := mustWeir(t, "sql", "--data", data, "SELECT DISTINCT edge FROM requests"); got != "web1" {
		t.Errorf("the edge is %q", got)
	}
	t.Logf("%d bodies of %d lines, each sent twice, over %d kills", bodies, lines, kills)
	w.end(t)
}

// TestPushedByNATS has others publish lines and objects to weir.ingest, before weir runs,
// while it runs and while it is killed: each is in ClickHouse once.
func TestPushedByNATS(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	data, address := filepath.Join(dir, "data"), freeAddress(t)
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nhttp: {listen: %q}\nnats: {listen: %q}\nsources:\n  - {nats: weir.ingest.combined, site: lines.example.org}\n  - {nats: weir.ingest.weir}\n", data, freeAddress(t), address))
	w := startWith(t, config)
	c, err := nats.Connect("nats://"+address, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	const messages = 300
	publish := func(subject, id, text string) {
		until(t, "message "+id+" is stored", func() bool {
			_, err := js.Publish(t.Context(), subject, []byte(text), jetstream.WithMsgID(id))
			return err == nil
		})
	}
	for i := range messages {
		publish("weir.ingest.combined", fmt.Sprint("lines", i), numberedLine(2*i)+"\n"+numberedLine(2*i+1))
		publish("weir.ingest.weir", fmt.Sprint("object", i), fmt.Sprintf(
			`{"time":%d,"host":"objects.example.org","client":"192.0.2.%d","method":"GET","uri":"/n/%d","protocol":"HTTP/1.1","status":200}`, time.Now().Unix(), i%250, i))
		if i == 100 || i == 200 {
			w.kill()
			w = startWith(t, config)
		}
	}
	until(t, "every line is in ClickHouse once", func() bool {
		return countSite(t, data, "lines.example.org") == fmt.Sprintf("%d %d", 2*messages, 2*messages)
	})
	until(t, "every object is in ClickHouse once", func() bool {
		return countSite(t, data, "objects.example.org") == fmt.Sprintf("%d %d", messages, messages)
	})
	w.end(t)
}
