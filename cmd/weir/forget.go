package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// forgetting removes one address from all that a weir holds but ClickHouse:
//
//	spools -> counters, detector -> snapshots -> messages in NATS -> the files they stood in
//
// What knows it forgets it before what is saved is removed, so that nothing writes it again.
type forgetting struct {
	bus        *bus.Bus
	processing *processing
	desk       *desk
	pushed     []*pushed
	journal    *clickhouse.FileJournal
	log        *slog.Logger

	one sync.Mutex // at a time
}

// forgetAtMost is how long is waited for what is on its way to be counted and stored.
const forgetAtMost = 2 * time.Minute

// forgotten is what was removed.
type forgotten struct {
	Requests  int `json:"messages_of_requests"`  // messages in NATS that held requests of it
	Panes     int `json:"messages_of_panes"`     // likewise
	Events    int `json:"messages_of_events"`    // of incidents and decisions
	Lines     int `json:"messages_of_lines"`     // of raw lines, those that no parser took among them
	Regulars  int `json:"lists_of_regulars"`     // that named it
	Decisions int `json:"decisions_in_force_of"` // it alone, that were lifted
}

// answer is POST /api/forget/ADDRESS.
func (f *forgetting) answer(s *server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		address, err := netip.ParseAddr(r.PathValue("address"))
		if err != nil || address.Zone() != "" {
			http.Error(w, "want an address", http.StatusBadRequest)
			return
		}
		done, err := f.forget(r.Context(), address.Unmap())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s.answerJSON(w, done)
	}
}

func (f *forgetting) forget(ctx context.Context, address netip.Addr) (done forgotten, err error) {
	f.one.Lock()
	defer f.one.Unlock()
	ctx, cancel := context.WithTimeout(ctx, forgetAtMost)
	defer cancel()
	if others := len(f.processing.member.Members()) - 1; others > 0 {
		return done, fmt.Errorf("%d more processes count requests on this NATS: stop them, erase, and start them again; this one does their work meanwhile", others)
	}
	text := addressText(address)
	if err := f.spools(ctx, text); err != nil {
		return done, fmt.Errorf("lines in a spool that are not in NATS yet: %w", err)
	}
	if done.Decisions, err = f.lift(ctx, address); err != nil {
		return done, fmt.Errorf("decisions about it: %w", err)
	}
	requests, err := f.requests(ctx, address, text)
	if err != nil {
		return done, fmt.Errorf("requests of it that are on their way: %w", err)
	}
	// Regulars are told anew once no counter knows the client: those before go first.
	lists, err := f.bus.Find(ctx, schemas.StreamEdges, func(subject string, _ uint64, data []byte) bool {
		list, err := schemas.DecodeRegulars(data)
		return err == nil && strings.HasPrefix(subject, strings.TrimSuffix(schemas.SubjectRegularsAll, "*")) && namesRegular(list, address)
	})
	if err != nil {
		return done, err
	}
	if err := f.processing.forget(ctx, address); err != nil {
		return done, fmt.Errorf("what is remembered of it: %w", err)
	}
	done.Requests, done.Regulars = len(requests), len(lists)
	if err := errors.Join(f.bus.Overwrite(ctx, schemas.StreamRequests, requests), f.bus.Overwrite(ctx, schemas.StreamEdges, lists)); err != nil {
		return done, err
	}
	f.processing.retellRegulars(ctx)
	if done.Panes, err = f.panes(ctx, address, text); err != nil {
		return done, fmt.Errorf("panes: %w", err)
	}
	for _, stream := range []string{schemas.StreamIncidents, schemas.StreamDecisions} {
		n, err := f.texts(ctx, stream, text)
		if done.Events += n; err != nil {
			return done, fmt.Errorf("events: %w", err)
		}
	}
	f.desk.board.forget(func(e schemas.Event) bool { return eventNames(&e, text) })
	for _, stream := range []string{schemas.StreamIngest, schemas.StreamDead} {
		n, err := f.texts(ctx, stream, text)
		if done.Lines += n; err != nil {
			return done, fmt.Errorf("raw lines: %w", err)
		}
	}
	return done, f.renew(ctx)
}

// spools overwrites the address in lines that are published and still on disk.
func (f *forgetting) spools(ctx context.Context, text *regexp.Regexp) error {
	return await(ctx, func() (bool, error) {
		waiting := false
		for _, p := range f.pushed {
			if p.intake == nil {
				continue
			}
			more, err := p.intake.Forget(func(lines []byte) [][2]int { return textAt(text, lines) })
			if err != nil {
				return false, err
			}
			waiting = waiting || more
		}
		return !waiting, nil
	})
}

// lift removes decisions in force that are of the address alone.
func (f *forgetting) lift(ctx context.Context, address netip.Addr) (int, error) {
	var events []schemas.Event
	for _, e := range f.desk.board.inForce(time.Now()) {
		if e.Decision != nil && e.Scope == schemas.ScopeClient && e.Value == schemas.ClientOf(address).String() {
			e.Type, e.Time = schemas.DecisionRemoved, time.Now().UTC()
			events = append(events, e)
		}
	}
	return len(events), f.desk.publish(ctx, events)
}

// requests are the messages with requests of the address: all of them are stored and counted
// when it returns.
func (f *forgetting) requests(ctx context.Context, address netip.Addr, text *regexp.Regexp) ([]uint64, error) {
	wanted := address.As16()
	newest := make(map[int]uint64) // by partition
	found, err := f.bus.Find(ctx, schemas.StreamRequests, func(subject string, sequence uint64, data []byte) bool {
		batch, err := schemas.DecodeBatch(data)
		if err != nil || !hasClient(batch.Client, wanted) && !extraNames(batch, text) {
			return false
		}
		for p := range schemas.Partitions {
			if subject == schemas.SubjectRequests(p) {
				newest[p] = sequence
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return found, await(ctx, func() (bool, error) {
		for p, sequence := range newest {
			at, err := f.journal.Load(p)
			if err != nil || at.Stored < sequence || !f.processing.counted(p, sequence) {
				return false, err
			}
		}
		return true, nil
	})
}

func hasClient(clients []byte, wanted [16]byte) bool {
	for ; len(clients) >= 16; clients = clients[16:] {
		if [16]byte(clients) == wanted {
			return true
		}
	}
	return false
}

// extraNames reports whether a header field of a request, as far as its format carries it,
// names the address.
func extraNames(batch *schemas.Batch, text *regexp.Regexp) bool {
	named := make(map[uint32]bool, len(batch.StringLengths)) // is looked at
	for _, index := range batch.Extra {
		named[index] = true
	}
	from := 0
	for i, n := range batch.StringLengths {
		to := from + int(n)
		if named[uint32(i)] && len(textAt(text, batch.Strings[from:to])) > 0 {
			return true
		}
		from = to
	}
	return false
}

func namesRegular(list *schemas.Regulars, address netip.Addr) bool {
	client := schemas.ClientOf(address)
	return slices.ContainsFunc(list.Sites, func(s schemas.SiteRegulars) bool { return slices.Contains(s.Clients, client) })
}

// panes removes the panes, and what was told to counters, that name the address. Who saved
// last has read them.
func (f *forgetting) panes(ctx context.Context, address netip.Addr, text *regexp.Regexp) (int, error) {
	d := f.processing.current.Load()
	if d == nil {
		return 0, errors.New("no detector is at work here")
	}
	found, err := f.bus.Find(ctx, schemas.StreamPanes, func(subject string, _ uint64, data []byte) bool {
		if subject == schemas.SubjectKnowledge || subject == schemas.SubjectSignals {
			return len(textAt(text, data)) > 0
		}
		p, err := schemas.DecodePanes(data)
		return err == nil && d.names(p, address)
	})
	if err == nil {
		err = f.bus.Overwrite(ctx, schemas.StreamPanes, found)
	}
	return len(found), err
}

// texts removes the messages that have the address as text, once who reads the stream has
// read them.
func (f *forgetting) texts(ctx context.Context, stream string, text *regexp.Regexp) (int, error) {
	newest := uint64(0)
	found, err := f.bus.Find(ctx, stream, func(_ string, sequence uint64, data []byte) bool {
		if plain, err := schemas.UnpackEvents(data); err == nil {
			data = plain
		}
		if len(textAt(text, data)) == 0 {
			return false
		}
		newest = sequence
		return true
	})
	if err == nil && newest > 0 {
		err = await(ctx, func() (bool, error) {
			var stores []string
			if slices.Contains(eventStreams[:], stream) {
				stores = []string{"store-events-" + stream}
			}
			settled, err := f.bus.Settled(ctx, stream, stores...)
			return settled >= newest, err
		})
	}
	if err == nil && slices.Contains(eventStreams[:], stream) && newest > 0 {
		if err = f.desk.await(ctx, stream, newest); err == nil {
			err = f.desk.snapshot(ctx, f.desk.token()) // what is in force in the same messages
		}
	}
	if err == nil {
		err = f.bus.Overwrite(ctx, stream, found)
	}
	return len(found), err
}

// renew removes from disk what was replaced: snapshots, lists of regulars.
func (f *forgetting) renew(ctx context.Context) error {
	f.processing.saving.Lock()
	defer f.processing.saving.Unlock()
	if err := f.processing.snapshots.Sweep(ctx); err != nil {
		return err
	}
	return errors.Join(
		f.bus.Renew(ctx, bus.SnapshotStream, "$KV."+bus.SnapshotBucket+".erase"),
		f.bus.Renew(ctx, schemas.StreamEdges, strings.TrimSuffix(schemas.SubjectEdgesAll, ">")+"erase"))
}

// await asks again and again until it is so, or ctx ends.
func await(ctx context.Context, is func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := is(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("they are still on their way, or new ones come all the time: try again later")
		case <-tick.C:
		}
	}
}

// addressText finds an address where it stands by itself, in each of its spellings.
func addressText(address netip.Addr) *regexp.Regexp {
	address = address.Unmap()
	spelling := regexp.QuoteMeta(address.String())
	if address.Is4() {
		spelling = "(?:::ffff:)?" + spelling
	} else {
		// A client is a /64, by which decisions name it.
		spelling += "|" + regexp.QuoteMeta(address.StringExpanded()) + "|" + regexp.QuoteMeta(schemas.ClientOf(address).String()) + "(?:/64)?"
	}
	return regexp.MustCompile(`(?i)(?:^|[^0-9a-f.:])(` + spelling + `)(?:$|[^0-9a-f.:]|[.:](?:$|[^0-9a-f:]))`)
}

// textAt are the places where it stands.
func textAt(text *regexp.Regexp, data []byte) (found [][2]int) {
	for from := 0; from <= len(data); {
		m := text.FindSubmatchIndex(data[from:])
		if m == nil {
			break
		}
		found = append(found, [2]int{from + m[2], from + m[3]})
		from += m[3] // neighbours share the character between them
	}
	return found
}

func eventNames(e *schemas.Event, text *regexp.Regexp) bool {
	messages, err := schemas.EncodeEvents(0, false, []schemas.Event{*e})
	return err != nil || slices.ContainsFunc(messages, func(m []byte) bool { return len(textAt(text, m)) > 0 })
}

func (w *weir) newForgetting(b *bus.Bus, p *processing, d *desk, pushed []*pushed) (*forgetting, error) {
	journal, err := clickhouse.NewFileJournal(storeDir(filepath.Clean(w.config.Data)))
	if err != nil {
		return nil, err
	}
	return &forgetting{bus: b, processing: p, desk: d, pushed: pushed, journal: journal, log: w.log}, nil
}
