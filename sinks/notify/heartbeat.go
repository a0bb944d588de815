package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// HeartbeatOptions say whom to tell, again and again, that weir lives: a dead-man's switch
// elsewhere raises the alarm when it hears nothing, which a dead weir cannot.
type HeartbeatOptions struct {
	URL, URLFile string // empty is none; asked for with GET
	Every        time.Duration
}

type heartbeat struct {
	client *http.Client
	url    string
	every  time.Duration
}

func newHeartbeat(o HeartbeatOptions, s *secrets) (*heartbeat, error) {
	address, err := resolve("url", o.URL, o.URLFile)
	if err != nil || address == "" {
		return nil, err
	}
	s.add(address, true)
	u, err := webURL(address, "")
	if err != nil {
		return nil, err
	}
	client, err := newClient("")
	if err != nil {
		return nil, err
	}
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	return &heartbeat{client, u.String(), o.Every}, nil
}

// beat asks for the URL while weir is healthy, until ctx ends.
func (n *Notifier) beat(ctx context.Context) {
	if n.heart == nil {
		return
	}
	tick := time.NewTicker(n.heart.every)
	defer tick.Stop()
	said := ""
	for {
		err := n.healthy()
		if err == nil {
			if err = n.heart.send(ctx); err == nil {
				n.metrics.heartbeats.Inc()
			}
		}
		text := ""
		if err != nil && ctx.Err() == nil {
			text = n.secrets.clean(err).Error()
		}
		if text != "" && text != said {
			n.log.Error("no heartbeat was sent", "error", text)
		}
		said = text
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// healthy is nil where weir is as it should be, the notifier itself included.
func (n *Notifier) healthy() error {
	n.mu.Lock()
	stuck := time.Since(n.stepped)
	n.mu.Unlock()
	if stuck > 30*time.Second {
		return fmt.Errorf("weir is not healthy: messages have not been looked at for %s", stuck.Round(time.Second))
	}
	if n.o.Healthy == nil {
		return nil
	}
	if err := n.o.Healthy(); err != nil {
		return fmt.Errorf("weir is not healthy: %w", err)
	}
	return nil
}

func (h *heartbeat) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(sendTimeout, h.every))
	defer cancel()
	err := exchange{client: h.client, method: http.MethodGet, url: h.url}.do(ctx)
	var r *refusal
	if errors.As(err, &r) {
		return fmt.Errorf("the dead-man's switch: %w", r)
	}
	return err
}
