package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Waits between attempts, doubled from the first to the last, with up to half
// of it at random, so that a fleet does not come back in the same instant.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// backoff is how long to wait after the given number of failures in a row.
func backoff(failures int) time.Duration {
	wait := lastWait
	if failures < 10 {
		wait = min(firstWait<<max(failures-1, 0), lastWait)
	}
	return wait/2 + rand.N(wait/2+1)
}

func (b *Bus) connect(ctx context.Context) (*nats.Conn, error) {
	o := b.options
	options := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(backoff),
		// What is not on the wire is not stored: rather an error now than a message
		// that waits in memory and may never be sent.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("nats: disconnected; trying again for ever", "url", redacted(o.URL), "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			b.metrics.reconnects.Inc()
			b.log.Info("nats: connected again", "url", c.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			b.log.Warn("nats", "error", err, "subject", subject)
		}),
	}
	if b.server != nil {
		c, err := nats.Connect("", append(options, nats.InProcessServer(b.server.server))...)
		if err != nil {
			return nil, b.where(err)
		}
		return c, nil
	}
	remote, err := remoteOptions(o)
	if err != nil {
		return nil, fmt.Errorf("nats at %s: %w", redacted(o.URL), err)
	}
	servers := strings.Count(o.URL, ",") + 1
	options = append(options, nats.Timeout(o.StartTimeout/time.Duration(servers)))
	return b.dial(ctx, append(options, remote...))
}

// dial bounds what nats.Connect does not bound itself, such as asking for names.
func (b *Bus) dial(ctx context.Context, options []nats.Option) (*nats.Conn, error) {
	type result struct {
		conn *nats.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		c, err := nats.Connect(b.options.URL, options...)
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			return r.conn, nil
		}
		return nil, fmt.Errorf("nats at %s: %w: %s", redacted(b.options.URL), r.err, advice(r.err))
	case <-ctx.Done():
		go func() { // whatever comes of it is not wanted any more
			if r := <-done; r.conn != nil {
				r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("nats at %s: no answer within %v: %s", redacted(b.options.URL), b.options.StartTimeout, advice(nil))
	}
}

func advice(err error) string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return "look at nats.credentials, or at this account on the server"
	case strings.Contains(text, "tls:"), strings.Contains(text, "tls error"), strings.Contains(text, "x509:"), errors.Is(err, nats.ErrSecureConnRequired):
		return "look at nats.tls: the ca must have signed the server's certificate, and the server may want one of this side"
	}
	return "start the server, mend nats.url, or leave nats.url empty for the embedded one"
}

func remoteOptions(o Options) ([]nats.Option, error) {
	for _, one := range strings.Split(o.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			return nil, errors.New("want nats://host:port, tls://host:port, or several with commas between")
		}
	}
	var options []nats.Option
	if o.Credentials != "" {
		if _, err := os.ReadFile(o.Credentials); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.TLS.CA != "" {
		if _, err := readCA(o.TLS.CA); err != nil {
			return nil, err
		}
		options = append(options, nats.RootCAs(o.TLS.CA))
	}
	if o.TLS.Cert != "" || o.TLS.Key != "" {
		if _, err := readPair(o.TLS); err != nil {
			return nil, err
		}
		options = append(options, nats.ClientCert(o.TLS.Cert, o.TLS.Key))
	}
	return options, nil
}

// redacted is the URL without passwords, for messages.
func redacted(urls string) string {
	parts := strings.Split(urls, ",")
	for i, one := range parts {
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case err != nil:
			parts[i] = "(no URL)"
		case u.User != nil:
			u.User = url.User("xxxxx")
			parts[i] = u.String()
		}
	}
	return strings.Join(parts, ",")
}
