package demo

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Told is a message of weir's, as docs/notifications.md describes the signed webhook.
type Told struct {
	ID       string   `json:"id"`
	Thread   string   `json:"thread"`
	Kind     string   `json:"kind"` // opened, closed
	Subject  string   `json:"subject"`
	Headline string   `json:"headline"`
	Lines    []string `json:"lines"`
	Commands []string `json:"commands"`

	At time.Time `json:"-"`
}

// Inbox is the on-call engineer of the demo: a webhook's receiver on loopback, which takes
// what is signed with its key, each message once.
type Inbox struct {
	key      []byte
	listener net.Listener

	mu   sync.Mutex
	told []Told
}

// NewInbox listens nowhere yet.
func NewInbox() *Inbox {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // it does not fail
	return &Inbox{key: []byte(hex.EncodeToString(key))}
}

// Key is what messages must be signed with.
func (b *Inbox) Key() string { return string(b.key) }

// Listen takes a port, so that URL can be said before Run.
func (b *Inbox) Listen() (err error) {
	b.listener, err = net.Listen("tcp", "127.0.0.1:0")
	return err
}

// URL is where messages go.
func (b *Inbox) URL() string { return "http://" + b.listener.Addr().String() + "/" }

// Run answers until ctx ends.
func (b *Inbox) Run(ctx context.Context) error {
	server := &http.Server{Handler: http.HandlerFunc(b.take), ReadTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (b *Inbox) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	mac := hmac.New(sha256.New, b.key)
	mac.Write([]byte(r.Header.Get("Weir-Timestamp") + "."))
	mac.Write(body)
	if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); err != nil || !hmac.Equal([]byte(want), []byte(r.Header.Get("Weir-Signature"))) {
		http.Error(w, "not signed with the key", http.StatusForbidden)
		return
	}
	m := Told{At: time.Now()}
	if json.Unmarshal(body, &m) != nil || m.ID == "" || m.ID != r.Header.Get("Idempotency-Key") {
		http.Error(w, "no message", http.StatusUnprocessableEntity)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.ContainsFunc(b.told, func(t Told) bool { return t.ID == m.ID }) && len(b.told) < 1000 {
		b.told = append(b.told, m)
	}
}

// Told is what came, in order.
func (b *Inbox) Told() []Told {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}
