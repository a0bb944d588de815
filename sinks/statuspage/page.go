package statuspage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Paces.
const (
	watchEvery  = time.Second
	renderEvery = 15 * time.Second
	// stateNews is how often at most another state of a component counts as something
	// new to read: it may go to and fro.
	stateNews = time.Minute
	saveEvery = 30 * time.Second
)

// Page keeps the status page. Its methods are safe for concurrent use.
type Page struct {
	o       Options
	render  *renderer
	metrics *metrics
	pushers []*pusher

	kick chan struct{} // something new to read

	mu      sync.Mutex
	ledger  *ledger
	journal *journal
	touched map[string]*touched // by site
	ready   bool                // the incidents of the stream are all known
	dirty   bool                // the ledger has something that the file has not
	unheard []Notice
	unsaid  []Saying
	states  string    // of the components, as last told to the places
	told    time.Time // when
}

// New reads what is in Options.Dir. Errors are about the options, or say which file is
// damaged, one clear line each.
func New(o Options) (*Page, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	p := &Page{o: o, kick: make(chan struct{}, 1), touched: make(map[string]*touched)}
	if p.render, err = newRenderer(&p.o); err != nil {
		return nil, err
	}
	if p.ledger, err = openLedger(p.ledgerPath(), o.Components); err != nil {
		return nil, err
	}
	if p.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	if p.journal, err = openJournal(filepath.Join(o.Dir, journalName), time.Now()); err != nil {
		return nil, err
	}
	for _, place := range o.Places {
		p.pushers = append(p.pushers, newPusher(place, &p.o, p.metrics))
	}
	return p, nil
}

func (p *Page) ledgerPath() string { return filepath.Join(p.o.Dir, "ledger.json") }

// Close ends the use of the files; Run has returned, or was never called.
func (p *Page) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.save(), p.journal.close())
}

// From is the message of a stream from which on to read. id names the streams as they
// are: where they are others than before, from the beginning.
func (p *Page) From(id, stream string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ledger.Stream != id {
		p.ledger.Stream = id
		clear(p.ledger.Read)
	}
	return p.ledger.Read[stream]
}

// Signals takes the signals of one message, in the order of the stream. What was taken
// before is passed over, so that a message may come again.
func (p *Page) Signals(stream string, sequence uint64, rows []schemas.SignalRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i := range rows {
		p.ledger.signal(&rows[i], now, p.touchedAt(rows[i].Site, now))
	}
	p.read(stream, sequence)
}

// read notes how far a stream was read: to this message, which is read again, because a
// window's signals may stand in two.
func (p *Page) read(stream string, sequence uint64) {
	p.ledger.Read[stream] = sequence
	p.dirty = true
}

// Incident takes an event of an incident, in the order of the stream.
func (p *Page) Incident(stream string, sequence uint64, e *schemas.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.read(stream, sequence)
	if e.Incident == "" || e.Decision != nil {
		return
	}
	if e.Type == schemas.IncidentClosed {
		delete(p.ledger.Open, e.Incident)
		return
	}
	var sites []string
	for _, site := range e.Sites {
		if p.component(site) != nil {
			sites = append(sites, site)
		}
	}
	if len(sites) == 0 || len(p.ledger.Open) >= maxOpen && p.ledger.Open[e.Incident].Sites == nil {
		return
	}
	p.ledger.Open[e.Incident] = openIncident{Sites: sites, Kind: e.Kind, Opened: e.Opened}
}

// CaughtUp says that every incident that the stream holds has been taken: only now is
// it known which are open.
func (p *Page) CaughtUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = true
}

func (p *Page) component(site string) *Component {
	for i := range p.o.Components {
		if p.o.Components[i].Site == site {
			return &p.o.Components[i]
		}
	}
	return nil
}

// Run writes and pushes the page until ctx ends, drafts, and publishes what the owner
// wants published by itself.
func (p *Page) Run(ctx context.Context) error {
	var aside sync.WaitGroup
	defer aside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, pusher := range p.pushers {
		aside.Go(func() { pusher.run(ctx) })
	}
	watch, render, save := time.NewTicker(watchEvery), time.NewTicker(p.o.renderEvery), time.NewTicker(saveEvery)
	defer watch.Stop()
	defer render.Stop()
	defer save.Stop()
	p.sayAgain(time.Now())
	p.renew(true)
	for {
		select {
		case <-ctx.Done():
			p.renew(false)
			return p.saveNow()
		case <-p.kick:
			p.renew(true)
		case <-watch.C:
			p.watch(time.Now())
		case <-render.C:
			p.renew(false)
		case <-save.C:
			if err := p.saveNow(); err != nil {
				p.o.Logger.Error("the status page's ledger was not saved", "error", err)
			}
		}
	}
}

func (p *Page) saveNow() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.save()
}

func (p *Page) save() error {
	if !p.dirty {
		return nil
	}
	if err := p.ledger.save(p.ledgerPath()); err != nil {
		return err
	}
	p.dirty = false
	return nil
}

// changed asks for a new page soon.
func (p *Page) changed() {
	select {
	case p.kick <- struct{}{}:
	default: // it was asked for already
	}
}

// Files are the page as it is at a moment.
func (p *Page) Files(now time.Time) ([]File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.render.files(p.view(now))
}

// stateChanged reports whether a component has another state than was told last.
func (p *Page) stateChanged(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := ""
	for _, c := range p.view(now).components {
		states += string(c.state) + " "
	}
	if states == p.states || now.Sub(p.told) < stateNews {
		return false
	}
	p.states, p.told = states, now
	return true
}

// renew writes the page into its folder and hands it to the places; news says that there
// is something new to read.
func (p *Page) renew(news bool) {
	now := time.Now()
	files, err := p.Files(now)
	if err == nil {
		err = WriteFolder(p.o.Folder, files)
	}
	p.metrics.written(now, err)
	if err != nil {
		p.o.Logger.Error("the status page was not written", "folder", p.o.Folder, "error", err)
	}
	if len(files) == 0 {
		return
	}
	news = p.stateChanged(now) || news
	for _, pusher := range p.pushers {
		pusher.offer(files, news)
	}
}
