package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/schemas"
)

// erased is an address that a test looks for, in every form in which weir writes one.
type erased struct {
	netip.Addr
	forms [][]byte
}

func newErased(text string) erased {
	a := netip.MustParseAddr(text)
	all := a.As16()
	e := erased{a, [][]byte{[]byte(text), all[:]}}
	if a.Is4() { // as the table of clients is saved
		four := a.As4()
		return erased{a, append(e.forms, binary.AppendUvarint(nil, uint64(binary.BigEndian.Uint32(four[:]))))}
	}
	client := schemas.ClientOf(a).As16()
	const v4 = 0xFFFF_FFFF_0000_0000 // of the table of clients
	return erased{a, append(e.forms, client[:], binary.AppendUvarint(nil, binary.BigEndian.Uint64(client[:])^v4))}
}

func (e erased) in(data []byte) bool {
	for _, form := range e.forms {
		if bytes.Contains(data, form) {
			return true
		}
	}
	return false
}

// opened is a message of NATS with all that is packed in it.
func opened(data []byte) []byte {
	out := bytes.Clone(data)
	if b, err := schemas.DecodeBatch(data); err == nil {
		out = append(out, b.Client...)
	}
	if p, err := schemas.DecodePanes(data); err == nil {
		for _, pane := range p.Panes {
			out = append(append(out, pane.Sample...), pane.Sketches...)
		}
	}
	return append(out, openedState(data)...)
}

// openedState is what a snapshot or the state file has after its first line.
func openedState(data []byte) []byte {
	_, packed, ok := bytes.Cut(data, []byte("\nweirst6\n"))
	if !ok {
		return nil
	}
	raw, _ := io.ReadAll(s2.NewReader(bytes.NewReader(packed))) // the checksum at the end is no part of it
	return raw
}

// places are where an address is in NATS, and the messages that have it.
func places(t *testing.T, js jetstream.JetStream, e erased) (where map[string]int, pieces [][]byte) {
	t.Helper()
	where = make(map[string]int)
	for _, name := range []string{schemas.StreamRequests, schemas.StreamIngest, schemas.StreamPanes, schemas.StreamIncidents, schemas.StreamDecisions,
		schemas.StreamDead, schemas.StreamVitals, schemas.StreamEdges, "KV_WEIR_STATE", "KV_WEIR_SNAPSHOTS"} {
		var stream jetstream.Stream
		until(t, "NATS knows "+name, func() (ok bool) {
			var err error
			stream, err = js.Stream(t.Context(), name)
			return err == nil
		})
		state := stream.CachedInfo().State
		for sequence := state.FirstSeq; sequence <= state.LastSeq; sequence++ {
			var m *jetstream.RawStreamMsg
			until(t, "NATS says what it has", func() bool { // busy, it may not answer in time
				var err error
				m, err = stream.GetMsg(t.Context(), sequence)
				return err == nil || errors.Is(err, jetstream.ErrMsgNotFound)
			})
			if m != nil && e.in(opened(m.Data)) {
				where[name]++
				if name != "KV_WEIR_SNAPSHOTS" { // whose files go as a whole
					pieces = append(pieces, m.Data) // less of it may be in others, too
				}
			}
		}
	}
	return where, pieces
}

// filesWith are the files below a folder that have an address, or one of the messages.
func filesWith(t *testing.T, dir string, e erased, pieces [][]byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bad := bytes.Contains(data, e.forms[0]) || bytes.Contains(data, e.forms[1]) || e.in(openedState(data))
		for _, piece := range pieces {
			bad = bad || bytes.Contains(data, piece)
		}
		if bad {
			found = append(found, strings.TrimPrefix(path, dir))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func blocks(t *testing.T, data, stream string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, "nats", "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no files of %s: %v", stream, err)
	}
	return found
}

// TestErasedFromEveryByte has two addresses come in by a spool and by NATS, be counted,
// saved, decided about and refused as lines; erases them while weir runs, and looks for them
// in each message and in each file of the data directory.
func TestErasedFromEveryByte(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	push, data, api, bus := freeAddress(t), filepath.Join(dir, "data"), freeAddress(t), freeAddress(t)
	token := writeTo(t, filepath.Join(dir, "token"), "0123456789abcdef\n")
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nhttp: {listen: %q}\nnats: {listen: %q}\nsources:\n  - {http: %q, token_file: %s, site: www.example.org}\n  - {nats: weir.ingest.combined, site: lines.example.org}\n",
		data, api, bus, push, token))
	w := startWith(t, config)
	victims := []erased{newErased("198.51.100.77"), newErased("2001:db8:77:1::9")}
	var body strings.Builder
	now := time.Now().UTC()
	const visitors = 40
	for i := range visitors {
		for _, client := range append([]string{fmt.Sprintf("192.0.2.%d", i+1)}, victims[0].String(), victims[1].String()) {
			fmt.Fprintf(&body, "%s - - [%s] \"GET /page/%d HTTP/1.1\" 200 1234 \"-\" \"Mozilla/5.0\"\n", client, now.Format("02/Jan/2006:15:04:05 -0700"), i)
		}
	}
	until(t, "weir takes lines", func() bool {
		response, err := http.Get("http://" + push + "/")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	post(t, push, "1", []byte(body.String()), "")
	post(t, push, "2", []byte(victims[0].String()+" is no line of any log\n"), "")
	c, err := nats.Connect("nats://" + bus)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range victims {
		line := fmt.Sprintf("%s - - [%s] \"GET /by/nats HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n", v, now.Format("02/Jan/2006:15:04:05 -0700"))
		if _, err := js.Publish(t.Context(), "weir.ingest.combined", []byte(line)); err != nil {
			t.Fatal(err)
		}
		mustWeir(t, "--config", config, "decisions", "add", "client", v.String(), "--for", "1h", "--reason", "asked too much: "+v.String())
	}
	until(t, "every request is stored", func() bool {
		got, err := weir(t, "sql", "--data", data, "SELECT count() FROM requests")
		return err == nil && got == fmt.Sprint(3*visitors+2) // at first there is no table
	})
	until(t, "every decision is stored", func() bool {
		return mustWeir(t, "sql", "--data", data, "SELECT count() FROM decisions") == fmt.Sprint(len(victims))
	})
	until(t, "their seconds are over", func() bool {
		for _, v := range victims {
			if where, _ := places(t, js, v); where[schemas.StreamPanes] == 0 {
				return false
			}
		}
		return true
	})
	c.Close()
	w.end(t) // it saves
	w = startWith(t, config)
	if c, err = nats.Connect("nats://"+bus, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if js, err = jetstream.New(c); err != nil {
		t.Fatal(err)
	}
	until(t, "NATS is there again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
	var pieces [][]byte
	for _, v := range victims {
		where, more := places(t, js, v)
		pieces = append(pieces, more...)
		for _, stream := range []string{schemas.StreamRequests, schemas.StreamPanes, schemas.StreamDecisions, schemas.StreamIngest, "KV_WEIR_SNAPSHOTS"} {
			if where[stream] == 0 {
				t.Errorf("%v was not in %s at all: %v", v, stream, where)
			}
		}
		if v.Is4() && where[schemas.StreamDead] == 0 {
			t.Errorf("%v was not among the lines that no parser took: %v", v, where)
		}
		if files := filesWith(t, data, v, more); len(files) < 5 {
			t.Errorf("%v was in %v only", v, files)
		}
	}
	old := blocks(t, data, "KV_WEIR_SNAPSHOTS")
	for _, v := range victims {
		until(t, "it is erased", func() bool { // while all begins, weir says that it cannot yet
			out, err := weir(t, "--config", config, "erase", v.String())
			if err != nil {
				t.Log(err)
				return false
			}
			t.Log(out)
			return true
		})
	}
	for _, v := range victims {
		if where, _ := places(t, js, v); len(where) > 0 {
			t.Errorf("%v is still in NATS: %v", v, where)
		}
	}
	for _, name := range blocks(t, data, "KV_WEIR_SNAPSHOTS") {
		for _, was := range old {
			if name == was {
				t.Errorf("%s, in which snapshots from before stood, is still there", name)
			}
		}
	}
	if got := mustWeir(t, "sql", "--data", data, `SELECT (SELECT count() FROM requests), (SELECT count() FROM decisions WHERE value = '(erased)'),
		(SELECT count() FROM system.parts WHERE NOT active AND table IN ('requests', 'decisions')), (SELECT toInt64(sum(requests)) FROM rollup_1h)`); got != fmt.Sprintf("%d\t4\t0\t%d", visitors, 3*visitors+2) {
		t.Errorf("requests, decisions, parts that were rewritten, requests in figures: %s", got)
	}
	c.Close()
	w.end(t)
	for _, v := range victims {
		if files := filesWith(t, data, v, pieces); len(files) > 0 {
			t.Errorf("%v is still in %v", v, files)
		}
	}
}
