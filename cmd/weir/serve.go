package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/lapi"
	"github.com/weir-project/weir/sinks/statuspage"
)

// controlSocket is the name, within the data directory, of the socket by which
// commands on the same machine change something. Its folder's and its own
// permissions are the authority: it needs no token.
const controlSocket = "weir.sock"

// maxSocketPath is what a unix socket's path may have (unix(7), sun_path).
const maxSocketPath = 107

// maxBody bounds a request to the API, in bytes.
const maxBody = 1 << 20

// bulk is how many events at once are worth more garbage: an import's.
const bulk = 100

// server is the HTTP side: reading for everybody who reaches the listener,
// changing only by the control socket.
type server struct {
	board   *board
	vitals  *edgesVitals // nil where nobody follows them
	sites   *siteBoard
	windows *windowBoard                                 // where sites are
	modes   *modes                                       // nil: nothing is decided by one
	publish func(context.Context, []schemas.Event) error // to every edge and the store
	ready   func() error
	panic   func(off bool) error // nothing is enforced on this machine, or everything again
	metrics prometheus.Gatherer
	log     *slog.Logger
	status  *statuspage.Page // nil: there is none

	applications *applications // nil where nothing is known of sites

	bouncers   *lapi.Server // nil: none are answered
	edges      *edgeBoard   // nil where nobody follows them
	correct    func(context.Context, processor.Correction) error
	sql        *sqlDoor    // nil: nobody reads the store from outside
	forgetting *forgetting // nil where nothing is to be erased
	// panicEverywhere tells every edge; nil where that cannot be.
	panicEverywhere func(ctx context.Context, off bool, by string) error
	// lifted waits until this machine's edges have let go of everything; nil: there are none.
	lifted func(context.Context) error
	// returned waits until what they are to hold again is known; nil: it is.
	returned func(context.Context) error
}

// routes are what the loopback listener answers.
func (s *server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /api/incidents", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.board.allIncidents()) })
	mux.HandleFunc("GET /api/decisions", s.answerDecisions)
	mux.HandleFunc("GET /api/vitals", func(w http.ResponseWriter, _ *http.Request) { s.answerJSON(w, s.vitals.all()) })
	mux.HandleFunc("GET /api/edges", func(w http.ResponseWriter, _ *http.Request) { s.answerJSON(w, s.edges.all()) })
	if s.applications != nil {
		mux.HandleFunc("GET /api/applications", func(w http.ResponseWriter, _ *http.Request) { s.answerJSON(w, s.applications.list()) })
	}
	if s.sites != nil {
		mux.HandleFunc("GET /api/overview", s.answerOverview)
		mux.HandleFunc("GET /api/sites/{site}/windows", func(w http.ResponseWriter, r *http.Request) {
			s.answerJSON(w, s.windows.of(r.PathValue("site"), time.Now()))
		})
	}
	if s.bouncers != nil {
		s.bouncers.Register(mux)
	}
	if s.sql != nil {
		s.sql.register(mux)
	}
	mux.HandleFunc("GET /api/events", s.answerEvents)
	return mux
}

// control are the routes of the socket: the same, and what changes something.
func (s *server) control() *http.ServeMux {
	mux := s.routes()
	mux.HandleFunc("POST /api/events", s.add)
	if s.modes != nil {
		mux.HandleFunc("GET /api/modes", func(w http.ResponseWriter, _ *http.Request) { s.answerJSON(w, s.modes.table()) })
	}
	mux.HandleFunc("POST /api/panic/{state}", s.setPanic)
	if s.modes != nil && s.modes.read != nil {
		mux.HandleFunc("POST /api/modes", s.modes.answer(s))
	}
	if s.forgetting != nil {
		mux.HandleFunc("POST /api/forget/{address}", s.forgetting.answer(s))
	}
	if s.correct != nil {
		mux.HandleFunc("POST /api/incidents/{incident}/close", s.closeIncident)
		mux.HandleFunc("POST /api/incidents/{incident}/confirm", s.confirmIncident)
	}
	if s.bouncers != nil {
		mux.HandleFunc("GET /api/bouncers", s.answerBouncers)
	}
	s.statusRoutes(mux)
	return mux
}

// answer writes a list as JSON.
func (s *server) answer(w http.ResponseWriter, events []schemas.Event) { s.answerJSON(w, events) }

func (s *server) answerJSON(w http.ResponseWriter, list any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := json.NewEncoder(w).Encode(list); err != nil {
		s.log.Debug("answer", "error", err) // the client has gone
	}
}

// add takes decision events from a person and passes them on.
func (s *server) add(w http.ResponseWriter, r *http.Request) {
	var events []schemas.Event
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&events); err != nil {
		http.Error(w, "not a list of events: "+err.Error(), http.StatusBadRequest)
		return
	}
	if len(events) > bulk {
		hurry()
	}
	for i := range events {
		if events[i].Decision == nil || events[i].ID == "" {
			http.Error(w, fmt.Sprintf("event %d is not about a decision", i), http.StatusBadRequest)
			return
		}
		if by := peerOf(r.Context()); by != "" && events[i].Type == schemas.DecisionRemoved {
			events[i].Reason = schemas.RemovedBy + by // as the kernel says it
		}
	}
	err := s.publish(r.Context(), events)
	if err == nil {
		err = s.rejected(r.Context(), events)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answerBouncers says who asks for decisions, and how they are.
func (s *server) answerBouncers(w http.ResponseWriter, _ *http.Request) {
	list, err := s.bouncers.Bouncers()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.answerJSON(w, list)
}

// setPanic lifts everything on this machine's nginx, or enforces it again.
func (s *server) setPanic(w http.ResponseWriter, r *http.Request) {
	state := r.PathValue("state")
	if state != "off" && state != "on" {
		http.Error(w, "want off or on", http.StatusNotFound)
		return
	}
	// What cannot be noted here is no reason not to tell the others.
	err := s.panic(state == "off")
	if s.panicEverywhere != nil && r.URL.Query().Get("everywhere") == "true" {
		hurry, cancel := context.WithTimeout(r.Context(), panicTelling)
		defer cancel()
		if telling := s.panicEverywhere(hurry, state == "off", peerOf(r.Context())); telling != nil {
			err = errors.Join(err, fmt.Errorf("done on this machine, and other edges were not told: %w", telling))
		}
	}
	wait := s.returned
	if state == "off" {
		wait = s.lifted
	}
	if wait != nil {
		hurry, cancel := context.WithTimeout(r.Context(), panicLifting)
		defer cancel()
		err = errors.Join(err, wait(hurry))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// listen opens both listeners, so that a port in use is said before anything runs.
func (s *server) listen(address, data string) (tcp, socket net.Listener, err error) {
	tcp, err = net.Listen("tcp", address)
	if err != nil {
		return nil, nil, usagef("http.listen %s: %w; give another with --http", address, unwrapNet(err))
	}
	path := filepath.Join(data, controlSocket)
	if len(path) > maxSocketPath {
		return nil, nil, errors.Join(usagef("data directory %s: its path is too long for a socket in it (%d bytes, at most %d); give a shorter one with --data", data, len(path), maxSocketPath), tcp.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // the lock on data is ours: it is stale
		return nil, nil, errors.Join(fmt.Errorf("control socket %s: %w", path, unwrapPath(err)), tcp.Close())
	}
	socket, err = net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("control socket %s: %w", path, unwrapNet(err)), tcp.Close())
	}
	return tcp, socket, nil
}

// unwrapNet drops the address from an error of package net, for messages that
// name it themselves.
func unwrapNet(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// serveHTTP answers on a listener until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	h := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, ConnContext: withPeer}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if h.Shutdown(grace) != nil {
			_ = h.Close() // what has not ended by now is cut off
		}
	})
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http %s: %w", l.Addr(), err)
	}
	return nil
}
