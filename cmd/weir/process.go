package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/crawler"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// processing is the processing role of one process. All processes that run it on one NATS
// share the partitions of the request stream, and one of them is the detector:
//
//	WEIR_REQUESTS -> counting (partition 0) -+
//	     ...                ...              +-> WEIR_PANES -> detecting -> WEIR_INCIDENTS,
//	WEIR_REQUESTS -> counting (partition 7) -+       ^             |        WEIR_DECISIONS
//	                        ^                        |             |
//	                        +------ what is known ---+-------------+
//
// A process alone does it all itself, by the same way: its panes go through its own NATS,
// which costs a message a second and partition, and what is saved by one can be taken up by another.
type processing struct {
	bus       *bus.Bus
	desk      *desk
	parts     *processor.Parts
	member    *cluster.Member
	snapshots cluster.Snapshots
	stream    string // the name of the request stream
	secret    secret
	file      string // the detector's state beside NATS, "" for none
	baseline  string // a file to begin with
	meters    *processMetrics
	log       *slog.Logger
	sites     *siteBoard           // for weir top
	capped    map[string]time.Time // when a cap was told of, see leftOut
	strangers strangers
	strangeAt time.Time // when requests for hosts that are no site's were told of
	clocks    *clocks

	saving   sync.RWMutex // held by whoever writes the snapshots anew
	counters sync.Map     // *counting by partition: those that count here

	modes    *modes
	crawlers *crawler.Verifier // nil: nobody is verified by DNS
	spared   bart.Lite         // the configuration's own allowlist

	judged  progress
	current atomic.Pointer[detecting] // while this process is the detector
}

// openProcessing makes the role. file, if not "", keeps the detector's state also where
// NATS is lost; baseline is a file to begin with where nothing was learned.
func openProcessing(ctx context.Context, b *bus.Bus, desk *desk, file, stream, baseline string, c config.Config, metrics prometheus.Registerer, log *slog.Logger) (*processing, error) {
	r := &processing{
		bus: b, desk: desk, snapshots: cluster.Snapshots{Bucket: b.Snapshots()},
		stream: stream, file: file, baseline: baseline, log: log, sites: newSiteBoard(), modes: newModes(c),
	}
	var err error
	if r.meters, err = newProcessMetrics(metrics); err != nil {
		return nil, err
	}
	wanted, err := r.wantedSecret()
	if err != nil {
		return nil, err
	}
	if r.secret, err = commonSecret(ctx, b, wanted); err != nil {
		return nil, err
	}
	o, err := processorOptions(c, r.secret, processor.Options{
		Registerer: metrics, Signals: r.takeSignals, LeftOut: r.leftOut, Strange: r.strange, Known: r.takeKnown, Enforced: func(site string) bool { return r.modes.enforces(site) }, Stops: r.stops,
	})
	if err != nil {
		return nil, err
	}
	if r.parts, err = processor.NewParts(o); err != nil {
		return nil, err
	}
	r.crawlers = newCrawlers(c.CrawlerDNS, desk, log)
	for _, p := range c.Allowed() {
		r.spared.Insert(p.Masked())
	}
	r.clocks = newClocks(r.parts.Skewed, r.meters.delay, log)
	r.sites.clocks = r.clocks
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	r.member = cluster.NewMember(cluster.Options{Bucket: b.State(), ID: memberID(host), Alone: b.Alone(), Logger: log})
	desk.token = func() uint64 { return r.member.Token(detectorLease) }
	return r, r.checkStart()
}

// stops reports whether edges stop anything on a site: its mode enforces what weir decides, or a person has accepted some of it.
func (r *processing) stops(site string) bool {
	return r.modes.enforces(site) || r.desk.board.accepted.on(site, time.Now())
}

// memberID is another for every process, of characters that a key may have.
func memberID(host string) string {
	name := []byte(host[:min(len(host), 64)])
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			name[i] = '_'
		}
	}
	return fmt.Sprintf("%s-%d-%s", name, os.Getpid(), strconv.FormatInt(time.Now().UnixNano(), 36))
}

// wantedSecret is that of the state file, or of the baseline, or a new one.
func (r *processing) wantedSecret() (secret, error) {
	if r.file != "" {
		f, err := os.Open(r.file)
		if err == nil {
			defer f.Close()
			was, err := readPosition(bufio.NewReader(f))
			if err != nil {
				return secret{}, fmt.Errorf("state %s: %w: move it away to begin anew", r.file, err)
			}
			return was.Secret, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return secret{}, fmt.Errorf("state %s: %w", r.file, unwrapPath(err))
		}
	}
	if r.baseline == "" {
		return newSecret(), nil
	}
	key, in, err := openBaseline(r.baseline)
	if err != nil {
		return secret{}, err
	}
	return key, in.Close()
}

// commonSecret is what keys the hashes of all processors on one NATS: the first one's.
func commonSecret(ctx context.Context, b *bus.Bus, wanted secret) (s secret, err error) {
	const key = "processor-secret"
	text, _ := wanted.MarshalText() // never fails
	if _, err = b.State().Create(ctx, key, text); err == nil {
		return wanted, nil
	} else if !errors.Is(err, jetstream.ErrKeyExists) {
		return s, fmt.Errorf("nats: the processors' secret: %w", err)
	}
	entry, err := b.State().Get(ctx, key)
	if err != nil {
		return s, fmt.Errorf("nats: the processors' secret: %w", err)
	}
	return s, s.UnmarshalText(entry.Value())
}

// checkStart says at once what would keep the detector from beginning.
func (r *processing) checkStart() error {
	if _, err := r.snapshots.Load(context.Background(), detectorLease); err == nil {
		return nil
	}
	d := &detecting{processing: r}
	if r.file != "" {
		if err := d.fromFile(); err == nil {
			return nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("state %s: %w: move it away to begin anew", r.file, err)
		}
	}
	_, err := d.newDetector()
	return err
}

// newDetector makes one that knows the baseline, if there is any.
func (r *processing) newDetector() (*processor.Detector, error) {
	if r.baseline == "" {
		return r.parts.Detector(), nil
	}
	key, in, err := openBaseline(r.baseline)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if key != r.secret {
		r.log.Warn("the baseline is not used: processors have begun with another secret", "baseline", r.baseline)
		return r.parts.Detector(), nil
	}
	d, err := r.parts.Learned(in)
	if err != nil {
		return nil, usagef("read baseline %s: %w", r.baseline, err)
	}
	return d, nil
}

// newCounter makes one that knows the baseline's clients, if there is any.
func (r *processing) newCounter(partition int) (*processor.Counter, error) {
	if r.baseline == "" {
		return r.parts.Counter(schemas.Partitions), nil
	}
	key, in, err := openBaseline(r.baseline)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if key != r.secret {
		return r.parts.Counter(schemas.Partitions), nil
	}
	return r.parts.LearnedCounter(in, partition)
}

// run processes until ctx ends, and then saves where it is.
func (r *processing) run(ctx context.Context) error {
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var beats, work sync.WaitGroup
	failed := make(chan error, 4)
	part := func(group *sync.WaitGroup, f func() error) {
		group.Go(func() {
			if err := f(); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	part(&beats, func() error { return r.member.Run(beating) })
	part(&work, func() error { return r.member.Share(running, []string{detectorLease}, cluster.Elected, r.detect) })
	if r.crawlers != nil {
		part(&work, func() error { return r.crawlers.Run(running) })
	}
	part(&work, func() error {
		if err := r.learn(running, &work); err != nil || running.Err() != nil {
			return ctxDone(running, err)
		}
		names := make([]string, schemas.Partitions)
		for p := range names {
			names[p] = partitionLease(p)
		}
		return r.member.Share(running, names, cluster.Evenly, r.count)
	})
	work.Wait()
	stop()
	beats.Wait()
	close(failed)
	return <-failed
}

// knowledgeName is the snapshot of what counters need to know.
const knowledgeName = "knowledge"

// knowledgeHead is what stands before the change in a message of knowledge: the detector's
// token and the last second that it has judged, 0 where more follows, 8 bytes each.
// Without a change and with 0 it says that a detector has begun, and saved what is known.
const knowledgeHead = 16

func knowledgeMessage(token uint64, closed int64, change []byte) []byte {
	head := binary.BigEndian.AppendUint64(nil, token)
	return append(binary.BigEndian.AppendUint64(head, uint64(closed)), change...)
}

// progress is how far the detector has come, for those who wait for it.
type progress struct {
	mu     sync.Mutex
	second int64
	news   chan struct{}
}

// set notes a second; another detector may begin at an earlier one.
func (p *progress) set(second int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.second = second
	if p.news != nil {
		close(p.news)
	}
	p.news = nil
}

// at is the second noted last, and what is closed when another is.
func (p *progress) at() (second int64, news <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == nil {
		p.news = make(chan struct{})
	}
	return p.second, p.news
}

// learnAtMost is how long counting waits for a detector to say what is known.
const learnAtMost = 10 * time.Second

// learn takes up what the detector has learned, returns when that is all there is, and
// goes on beside.
func (r *processing) learn(ctx context.Context, group *sync.WaitGroup) error {
	from, err := r.loadKnowledge(ctx)
	known := err == nil
	if err != nil && !errors.Is(err, cluster.ErrNoSnapshot) {
		r.log.Error("what was known to counters cannot be used; they learn anew", "error", err)
	}
	ready := make(chan struct{})
	token, caughtUp := uint64(0), false
	tell := sync.OnceFunc(func() { close(ready) })
	group.Go(func() {
		_ = r.bus.Follow(ctx, bus.FollowOptions{ // it fails only where the bus is closed
			Stream: schemas.StreamPanes, Subjects: []string{schemas.SubjectKnowledge}, From: from + 1, Reader: "learn",
			CaughtUp: func() {
				if caughtUp = true; known {
					tell()
				}
			},
		}, func(ctx context.Context, m *bus.Message) error {
			data := m.Data()
			if len(data) < knowledgeHead || binary.BigEndian.Uint64(data) < token {
				r.meters.fenced.Inc()
				return nil
			}
			token = binary.BigEndian.Uint64(data)
			closed, change := int64(binary.BigEndian.Uint64(data[8:])), data[knowledgeHead:]
			var err error
			switch {
			case len(change) > 0:
				err = r.parts.Knowledge().Apply(change)
			case closed == 0: // a detector has begun
				if _, err = r.loadKnowledge(ctx); err == nil {
					if known = true; caughtUp {
						tell()
					}
				}
			}
			if closed > 0 {
				r.judged.set(closed)
			}
			if err != nil && ctx.Err() == nil {
				r.log.Warn("a message of knowledge was passed over", "sequence", m.Sequence(), "error", err)
			}
			return nil
		})
	})
	select {
	case <-ready:
	case <-ctx.Done():
	case <-time.After(learnAtMost):
		r.log.Warn("no detector has said what is known; counting without", "waited", learnAtMost)
	}
	return nil
}

// loadKnowledge takes up the snapshot, and returns the message up to which it holds all.
func (r *processing) loadKnowledge(ctx context.Context) (sequence uint64, err error) {
	data, err := r.snapshots.Load(ctx, knowledgeName)
	if err != nil {
		return 0, err
	}
	return r.restoreKnowledge(data)
}

func (r *processing) restoreKnowledge(data []byte) (sequence uint64, err error) {
	if size, err := s2.DecodedLen(data); err != nil || size > 1<<30 {
		return 0, errors.New("it cannot be unpacked")
	}
	raw, err := s2.Decode(nil, data)
	if err != nil {
		return 0, errors.New("it cannot be unpacked")
	}
	in := state.NewReader(raw)
	sequence = in.Uint(1 << 63)
	return sequence, r.parts.Knowledge().Restore(in)
}

// elected notes that this process is the detector, or no more.
func (r *processing) elected(d *detecting) { r.current.Store(d) }

func (r *processing) takeSignals(end time.Time, site string, signals []schemas.Signal) {
	r.sites.take(end, site, signals)
	if d := r.current.Load(); d != nil {
		d.takeSignals(end, site, signals)
	}
}

func (r *processing) takeKnown(at time.Time, list *schemas.SiteList) {
	if d := r.current.Load(); d != nil {
		d.takeKnown(at, list)
	}
}

// every calls f at a pace until ctx ends.
func every(ctx context.Context, pace time.Duration, f func(context.Context)) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

// logEvent says what happened, for whoever reads the log.
func logEvent(log *slog.Logger, e schemas.Event) {
	if e.Decision == nil || e.ID == "" {
		log.Info(string(e.Type), "incident", e.Incident, "kind", e.Kind, "sites", e.Sites, "cause", e.Told())
		return
	}
	log.Info(string(e.Type), "decision", e.ID, "action", e.Action, "scope", e.Scope, "value", printable(e.Value, 400), "collateral", e.Collateral)
}
