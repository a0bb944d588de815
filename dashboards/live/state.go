package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/schemas"
)

// State reads what the streams hold at this moment, and publishes what a person decides.
// Safe for concurrent use.
type State struct {
	js  jetstream.JetStream
	log *slog.Logger
}

// NewState reads by a connection.
func NewState(conn *nats.Conn, log *slog.Logger) (*State, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return &State{js: js, log: log}, nil
}

// EdgeSeen is what an edge last reported, and when by NATS's clock.
type EdgeSeen struct {
	*schemas.EdgeReport
	Received time.Time
}

// maxEdges bounds the edges that are read.
const maxEdges = 1000

// Edges are all that report, by name.
func (s *State) Edges(ctx context.Context) ([]EdgeSeen, error) {
	stream, err := s.js.Stream(ctx, schemas.StreamEdges)
	if err != nil {
		return nil, s.where(err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schemas.SubjectReportsAll))
	if err != nil {
		return nil, s.where(err)
	}
	var all []EdgeSeen
	for subject := range info.State.Subjects {
		if len(all) == maxEdges {
			break
		}
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was replaced in between
		}
		if err != nil {
			return nil, s.where(err)
		}
		report, err := schemas.DecodeEdgeReport(m.Data)
		if err != nil {
			s.log.Debug("an edge's report was passed over", "subject", subject, "error", err)
			continue
		}
		all = append(all, EdgeSeen{report, m.Time})
	}
	slices.SortFunc(all, func(a, b EdgeSeen) int { return strings.Compare(a.Edge, b.Edge) })
	return all, nil
}

// Number is one number of the pipeline.
type Number struct {
	Name  string
	Value float64
	Unit  string // Grafana's
	About string
}

// streams are those that health looks at.
var streams = []struct{ name, about string }{
	{schemas.StreamRequests, "requests in batches"}, {schemas.StreamPanes, "panes and signals"}, {schemas.StreamDecisions, "decisions"},
	{schemas.StreamVitals, "vitals of edges"}, {schemas.StreamDead, "lines that no parser took"},
}

// Numbers are how NATS and its streams are.
func (s *State) Numbers(ctx context.Context, now time.Time) ([]Number, error) {
	account, err := s.js.AccountInfo(ctx)
	if err != nil {
		return nil, s.where(err)
	}
	all := []Number{{"nats_store", float64(account.Store), "bytes", "What NATS keeps on disk."}, {"nats_memory", float64(account.Memory), "bytes", "What NATS keeps in memory for streams."}}
	for _, n := range streams {
		stream, err := s.js.Stream(ctx, n.name)
		if err != nil {
			return nil, s.where(fmt.Errorf("stream %s: %w", n.name, err))
		}
		state := stream.CachedInfo().State
		name := strings.ToLower(strings.TrimPrefix(n.name, "WEIR_"))
		all = append(all, Number{name + "_bytes", float64(state.Bytes), "bytes", "On disk: " + n.about + "."})
		if !state.LastTime.IsZero() {
			all = append(all, Number{name + "_age", max(now.Sub(state.LastTime).Seconds(), 0), "s", "Since the last message of " + n.about + "."})
		}
	}
	return all, nil
}

// InForce are the decisions that count at this time, and the revision with which a person's
// events must go out so that no edge takes them for an old detector's.
func (s *State) InForce(ctx context.Context, now time.Time) ([]schemas.Event, uint64, error) {
	stream, err := s.js.Stream(ctx, schemas.StreamDecisions)
	if err != nil {
		return nil, 0, s.where(err)
	}
	from, err := snapshotStart(ctx, stream)
	if err != nil {
		return nil, 0, s.where(err)
	}
	var sets schemas.EventSets
	known := map[string]schemas.Event{}
	err = s.read(ctx, from, func(data []byte) {
		header, events, err := schemas.DecodeEvents(data)
		var replace bool
		if err == nil {
			events, replace, err = sets.Add(header, events)
		}
		if err != nil {
			s.log.Debug("a message of decisions was passed over", "error", err)
			return
		}
		if replace {
			clear(known)
		}
		for _, e := range events {
			if e.Decision != nil && e.ID != "" && !e.Time.Before(known[e.ID].Time) {
				known[e.ID] = e
			}
		}
	})
	if err != nil {
		return nil, 0, s.where(err)
	}
	var inForce []schemas.Event
	for _, e := range known {
		if e.Type != schemas.DecisionRemoved && e.Expires.After(now) {
			inForce = append(inForce, e)
		}
	}
	slices.SortFunc(inForce, func(a, b schemas.Event) int { return strings.Compare(a.ID, b.ID) })
	revision, err := s.revision(ctx)
	return inForce, max(sets.Revision, revision), err
}

// revision is that of the last event of an incident: a new detector speaks there as well.
func (s *State) revision(ctx context.Context) (uint64, error) {
	stream, err := s.js.Stream(ctx, schemas.StreamIncidents)
	if err != nil {
		return 0, s.where(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, schemas.SubjectIncidents)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, s.where(err)
	}
	header, _, err := schemas.DecodeEvents(m.Data)
	if err != nil {
		return 0, nil // of another version: the decisions' own counts
	}
	return header.Revision, nil
}

// snapshotStart is where the newest whole snapshot begins; 1 where there is none.
func snapshotStart(ctx context.Context, stream jetstream.Stream) (uint64, error) {
	m, err := stream.GetLastMsgForSubject(ctx, schemas.SubjectSnapshot)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	if m.Header.Get(schemas.HeaderPart) != m.Header.Get(schemas.HeaderParts) {
		return 1, nil
	}
	if first, err := strconv.ParseUint(m.Header.Get(schemas.HeaderFirst), 10, 64); err == nil && first < m.Sequence {
		return first, nil
	}
	return m.Sequence, nil
}

// read hands over what the stream of decisions holds from a message on, up to its end.
func (s *State) read(ctx context.Context, from uint64, take func([]byte)) error {
	consumer, err := s.js.OrderedConsumer(ctx, schemas.StreamDecisions, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
	})
	if err != nil {
		return err
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	if info.NumPending == 0 {
		return nil
	}
	for {
		m, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		take(m.Data())
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// Publish stores a person's events of decisions, with the revision that InForce gave.
func (s *State) Publish(ctx context.Context, revision uint64, events []schemas.Event) error {
	messages, err := schemas.EncodeEvents(revision, false, events)
	if err != nil {
		return err
	}
	for _, data := range messages {
		if _, err := s.js.Publish(ctx, schemas.SubjectDecisions, data); err != nil {
			return s.where(err)
		}
	}
	return nil
}

// Panic has nothing enforced anywhere, or all that is in force again.
func (s *State) Panic(ctx context.Context, p []byte) error {
	_, err := s.js.Publish(ctx, schemas.SubjectPanic, p)
	return s.where(err)
}

func (s *State) where(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("NATS: not connected, or without JetStream: %w", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return errors.New("NATS: no answer in time: it is away, or this user may not ask JetStream ($JS.API.>)")
	}
	return fmt.Errorf("NATS: %w", err)
}

// Age is for how long nothing came in on a stream; negative where nothing ever did.
func (s *State) Age(ctx context.Context, stream string, now time.Time) (time.Duration, error) {
	found, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("NATS has no stream %s: is it weir's?", stream)
	}
	if err != nil {
		return 0, s.where(err)
	}
	last := found.CachedInfo().State.LastTime
	if last.IsZero() {
		return -1, nil
	}
	return max(now.Sub(last), 0), nil
}
