package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// maxBody bounds an answer's body in bytes: the demo is about requests, not
// about filling loopback.
const maxBody = 20_000

// How service times vary about a resource's own (spread of the logarithm), and
// how much longer they are where others wait: as the simulated applications have it.
const (
	serviceSpread = .3
	crowding      = 1.4
)

// Pages is what a site has: *simulate.Site is one.
type Pages interface {
	// Resource is what there is for a method and a URI, never nil: what there is
	// not has an answer too.
	Resource(method, uri string) *simulate.Resource
}

// AppSite is one site of the application and its capacity.
type AppSite struct {
	Name    string
	Pages   Pages
	Workers int           // requests that it works on at once, at least 1
	Queue   int           // requests that may wait for a worker; what comes then finds the door shut
	Timeout time.Duration // after which nginx gives up; for nginx's configuration
}

// AppSiteOf is a site of the traffic model as the application serves it.
func AppSiteOf(s *simulate.Site) AppSite {
	return AppSite{Name: s.Name, Pages: s, Workers: s.Workers, Queue: s.Queue, Timeout: s.Timeout}
}

// AppOptions are what an App is made of.
type AppOptions struct {
	Sites []AppSite
	Plan  Plan // for its speed
	// Reached is told the ticket of every request at the door, before there is
	// any answer. Called from many goroutines.
	Reached func(ticket string)
}

// App is the application behind nginx. As applications are, it is slow where it
// makes a page and slowest for the pages that there are not; it has some workers
// and a queue, works on for those who have hung up, and shuts the door (nginx: 502)
// when the queue is full.
type App struct {
	options  AppOptions
	sites    map[string]*appSite
	listener net.Listener
	body     []byte
	done     <-chan struct{} // of Run's context
}

type appSite struct {
	AppSite
	queue   chan struct{} // a place for each that waits or is worked on
	workers chan struct{}
}

// NewApp makes an App; nothing listens yet.
func NewApp(o AppOptions) *App {
	a := &App{options: o, sites: make(map[string]*appSite, len(o.Sites))}
	a.body = []byte("<!doctype html><title>A page</title>\n" + strings.Repeat("<p>Some words of a page.</p>\n", maxBody/28+1))[:maxBody]
	for _, s := range o.Sites {
		workers := max(s.Workers, 1)
		a.sites[s.Name] = &appSite{
			AppSite: s,
			queue:   make(chan struct{}, workers+max(s.Queue, 0)),
			workers: make(chan struct{}, workers),
		}
	}
	return a
}

// Listen takes a free port of an address of this machine.
func (a *App) Listen(host string) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("demo: the application cannot listen on %s: %w", host, err)
	}
	a.listener = listener
	return nil
}

// Address is host:port, after Listen.
func (a *App) Address() string { return a.listener.Addr().String() }

// Run serves until the context ends, then closes every connection at once.
func (a *App) Run(ctx context.Context) error {
	if a.listener == nil {
		return errors.New("demo: the application does not listen yet: call Listen first")
	}
	a.done = ctx.Done()
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("demo: the application stopped: %w", err)
	}
	return nil
}

// ServeHTTP answers one request as the site's traffic model says.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.options.Reached != nil {
		a.options.Reached(r.Header.Get(TicketHeader))
	}
	host, _, _ := strings.Cut(r.Host, ":")
	site, ok := a.sites[strings.ToLower(host)]
	if !ok {
		http.Error(w, "no such site", http.StatusMisdirectedRequest)
		return
	}
	resource := site.Pages.Resource(r.Method, r.RequestURI)
	if resource.Service > 0 && !site.work(a.done, a.options.Plan, resource.Service) {
		shut(w)
		return
	}
	a.answer(w, r, resource)
}

// work waits for a worker and lets it work for a while; false where the queue is
// full or all ends. A client that has hung up does not spare the worker its work:
// that is how applications drown.
func (s *appSite) work(done <-chan struct{}, plan Plan, service time.Duration) bool {
	select {
	case s.queue <- struct{}{}:
	default:
		return false
	}
	seconds := service.Seconds() * math.Exp(serviceSpread*rand.NormFloat64())
	if len(s.queue) > cap(s.workers)+1 { // others, beside this one
		seconds *= crowding
	}
	defer func() { <-s.queue }()
	select {
	case s.workers <- struct{}{}:
	case <-done:
		return false
	}
	defer func() { <-s.workers }()
	timer := time.NewTimer(plan.wall(time.Duration(seconds * float64(time.Second))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

func (a *App) answer(w http.ResponseWriter, r *http.Request, x *simulate.Resource) {
	if x.Kept && r.Header.Get("If-None-Match") != "" {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	size := x.Size
	if x.Text && !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		size = size * 36 / 10 // nobody to compress it for
	}
	size = min(max(size, 0), maxBody)
	if x.Status == http.StatusNoContent || x.Status == http.StatusNotModified {
		w.WriteHeader(x.Status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if x.Status == http.StatusSeeOther {
		w.Header().Set("Location", "/")
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(x.Status)
	if r.Method != http.MethodHead {
		w.Write(a.body[:size]) // who has hung up does not matter
	}
}

// shut closes the connection without an answer, as a full listen queue does.
func shut(w http.ResponseWriter) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		connection.Close()
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}
