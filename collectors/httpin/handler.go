// Package httpin takes access-log lines by HTTP POST: plain lines, NDJSON and JSON
// arrays, packed with gzip or zstd or not, as Vector, Fluent Bit and curl send them.
//
// An answer of 204 means that every line is on disk and will be shipped; 429 that there
// is no room at the moment and the body is to be sent again. A sender that gives each
// body an id may send one again whenever it is not sure: it is taken once.
package httpin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-project/weir/collectors/intake"
)

// Lines takes lines for good.
type Lines interface {
	// Take returns once the lines, each with its newline, would survive a loss of power
	// and be shipped; the error wraps intake.ErrFull where there is no room. Lines
	// whose id, where it is not empty, was taken before are not taken again: fresh is
	// false then.
	Take(from intake.Stream, id string, lines []byte) (fresh bool, err error)
}

// Options bound what is taken; the zero value is ready to use on loopback.
type Options struct {
	Token string // that senders must give; "" is none

	MaxBody     int64 // bytes as sent; 0 is 4 MiB
	MaxUnpacked int64 // bytes unpacked; 0 is 8 MiB
	AtOnce      int   // bodies in memory; 0 is 2: further ones wait a moment, or are told to come again

	Metrics *intake.Metrics // nil counts for nobody
	Logger  *slog.Logger    // nil is slog.Default
}

// The headers by which a sender names a body (draft-ietf-httpapi-idempotency-key-header),
// and how long the name may be.
const (
	IDHeader = "Idempotency-Key"
	maxID    = 256
)

// Times of a request.
const (
	slotWait   = time.Second // for room in memory
	retryAfter = 2           // seconds, of 429 and 503
)

// Handler takes bodies.
type Handler struct {
	o      Options
	lines  Lines
	token  [sha256.Size]byte
	slots  chan struct{}
	bodies sync.Pool
}

// New makes a Handler. It runs nothing.
func New(o Options, lines Lines) (*Handler, error) {
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.MaxUnpacked <= 0 {
		o.MaxUnpacked = 8 << 20
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 2
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = intake.NewMetrics(nil, ""); err != nil {
			return nil, err
		}
	}
	h := &Handler{o: o, lines: lines, token: sha256.Sum256([]byte(o.Token)), slots: make(chan struct{}, o.AtOnce)}
	h.bodies.New = func() any { return new(body) }
	return h, nil
}

// ServeHTTP implements http.Handler: POST or PUT of lines to /, /ingest or
// /ingest/EDGE, where EDGE names the machine whose log it is; GET says that it is here.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	edge, ok := edgeOf(r.URL.Path)
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		fmt.Fprintln(w, "weir takes access-log lines here by POST")
		return
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		w.Header().Set("Allow", "POST, PUT, GET, HEAD")
		h.refuse(w, http.StatusMethodNotAllowed, "want POST")
		return
	case !h.authorized(r):
		h.o.Metrics.Refuse(intake.Token)
		w.Header().Set("WWW-Authenticate", "Bearer")
		h.refuse(w, http.StatusUnauthorized, "want the header Authorization: Bearer TOKEN")
		return
	case len(r.Header.Get(IDHeader)) > maxID:
		h.refuse(w, http.StatusBadRequest, fmt.Sprintf("%s: at most %d bytes", IDHeader, maxID))
		return
	case r.ContentLength > h.o.MaxBody:
		h.o.Metrics.Refuse(intake.TooLong)
		h.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes", h.o.MaxBody))
		return
	}
	if !h.enter(r) {
		h.o.Metrics.Waiting.Inc()
		h.later(w, http.StatusTooManyRequests, "too many bodies at once: send it again")
		return
	}
	defer func() { <-h.slots }()
	h.take(w, r, edge)
}

// edgeOf is the edge that a path names; false where there is nothing at that path.
func edgeOf(path string) (edge string, ok bool) {
	switch path {
	case "/", "/ingest", "/ingest/":
		return "", true
	}
	edge, ok = strings.CutPrefix(path, "/ingest/")
	return edge, ok && len(edge) <= intake.MaxEdge && !strings.Contains(edge, "/")
}

// authorized compares in a time that does not depend on the token.
func (h *Handler) authorized(r *http.Request) bool {
	if h.o.Token == "" {
		return true
	}
	given := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(given, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		if _, password, ok := r.BasicAuth(); ok { // for senders that know no other
			token = password
		} else {
			token = ""
		}
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

// enter waits for room in memory.
func (h *Handler) enter(r *http.Request) bool {
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-r.Context().Done():
	}
	return false
}

// take reads a body and brings its lines to safety.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, edge string) {
	b := h.bodies.Get().(*body)
	defer h.bodies.Put(b)
	if err := b.read(http.MaxBytesReader(w, r.Body, h.o.MaxBody), r.Header.Get("Content-Encoding"), h.o.MaxUnpacked); err != nil {
		h.unreadable(w, err)
		return
	}
	b.lines.Split(b.unpacked)
	for reason, n := range b.lines.Refused {
		for range n {
			h.o.Metrics.Refuse(intake.Reason(reason))
		}
	}
	if b.lines.Count > 0 {
		fresh, err := h.lines.Take(intake.StreamOf([]byte(edge), nil), r.Header.Get(IDHeader), b.lines.Lines)
		switch {
		case errors.Is(err, intake.ErrFull):
			h.later(w, http.StatusTooManyRequests, "there is no room at the moment: send it again")
			return
		case err != nil:
			h.o.Logger.Error("a body could not be kept", "error", err)
			h.later(w, http.StatusServiceUnavailable, "it could not be kept: send it again")
			return
		case fresh:
			h.o.Metrics.Took(b.lines.Count, len(b.lines.Lines))
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// unreadable answers for a body that could not be read as a whole; nothing of it was
// taken.
func (h *Handler) unreadable(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large), errors.Is(err, errLarge):
		h.o.Metrics.Refuse(intake.TooLong)
		h.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes, %d unpacked", h.o.MaxBody, h.o.MaxUnpacked))
	case errors.Is(err, errEncoding):
		h.o.Metrics.Refuse(intake.Encoding)
		w.Header().Set("Accept-Encoding", "gzip, zstd")
		h.refuse(w, http.StatusUnsupportedMediaType, "want Content-Encoding gzip, zstd or none")
	case errors.Is(err, errPacked):
		h.o.Metrics.Refuse(intake.Encoding)
		h.refuse(w, http.StatusBadRequest, "it cannot be unpacked")
	default:
		h.o.Metrics.Refuse(intake.Idle)
		h.refuse(w, http.StatusBadRequest, "it broke off")
	}
}

func (h *Handler) refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(w, text, status)
}

// later tells the sender to come again.
func (h *Handler) later(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	h.refuse(w, status, text)
}
