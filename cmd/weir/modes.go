package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/weir-project/weir/internal/config"
)

// modes are how far decisions go on each site. They alone of the configuration may change while
// weir runs: who wants to enforce, or no longer, is not to lose what the windows hold. Safe for
// concurrent use.
type modes struct {
	// read reads the configuration anew, nil where it cannot be; changed is told of a change.
	read    func() (config.Config, error)
	changed func()

	mu      sync.RWMutex
	current config.Config
}

func newModes(c config.Config) *modes { return &modes{current: c} }

// of is the mode of a site; of "" that of all which the configuration does not name.
func (m *modes) of(site string) config.Mode {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.current.ModeOf(site)
}

func (m *modes) text(site string) string {
	if m == nil {
		return ""
	}
	return string(m.of(site))
}

// enforces reports whether decisions on a site go to edges without a person; nil: none do.
func (m *modes) enforces(site string) bool { return m != nil && m.of(site) == config.Enforce }

// modeChange is one site's, or "" for all that are not named.
type modeChange struct {
	Site string      `json:"site"`
	Was  config.Mode `json:"was"`
	Is   config.Mode `json:"is"`
}

// again reads the configuration anew and takes its modes. A file that does not hold changes nothing.
func (m *modes) again() ([]modeChange, error) {
	if m.read == nil {
		return nil, fmt.Errorf("modes: this weir cannot read its configuration again")
	}
	c, err := m.read()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	was := m.current
	m.current = c
	m.mu.Unlock()
	changes := []modeChange{}
	names := []string{""}
	for _, sites := range []map[string]config.Site{was.Sites, c.Sites} {
		for name := range sites {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if a, b := was.ModeOf(name), c.ModeOf(name); a != b {
			changes = append(changes, modeChange{name, a, b})
		}
	}
	if len(changes) > 0 && m.changed != nil {
		m.changed()
	}
	return changes, nil
}

// answer serves POST /api/modes.
func (m *modes) answer(s *server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		changes, err := m.again()
		if err != nil {
			s.log.Error("the modes were not read again; those of before count", "error", err, "by", peerOf(r.Context()))
			http.Error(w, err.Error()+"\nnothing was changed: the modes of before count", http.StatusConflict)
			return
		}
		for _, c := range changes {
			s.log.Info("a mode has changed", "site", c.Site, "was", c.Was, "is", c.Is, "by", peerOf(r.Context()))
		}
		s.answerJSON(w, changes)
	}
}

// hear reads the configuration anew at every SIGUSR1, until ctx ends: a role that has no control socket
// is told so.
func (m *modes) hear(ctx context.Context, log *slog.Logger) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	defer signal.Stop(told)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-told:
		}
		changes, err := m.again()
		if err != nil {
			log.Error("modes stay as they were", "error", err)
			continue
		}
		log.Info("modes were read again", "changed", len(changes))
		for _, c := range changes {
			log.Info("a mode has changed", "site", c.Site, "was", c.Was, "is", c.Is, "by", "SIGUSR1")
		}
	}
}

type reloadCommand struct{ dataFlag }

// Run has the running weir read its modes again.
func (c *reloadCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	answer, err := newControlClient(data).do(ctx, http.MethodPost, "/api/modes", nil)
	if err != nil {
		return err
	}
	var changes []modeChange
	if err := json.Unmarshal(answer, &changes); err != nil {
		return fmt.Errorf("reload: what weir answers: %w", err)
	}
	if len(changes) == 0 {
		fmt.Fprintln(s.out, "No mode has changed. What else stands in the configuration counts from the next start.")
	}
	for _, m := range changes {
		site := "every other site"
		if m.Site != "" {
			site = printable(m.Site, 100)
		}
		fmt.Fprintf(s.out, "%s: %s, was %s\n", site, m.Is, m.Was)
	}
	return nil
}
