package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/httpin"
	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/collectors/syslog"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// collecting is what every source needs, whichever role it runs in.
type collecting struct {
	config  config.Config
	to      transport
	resolve func() func(*schemas.Request) // of each log: who the client is behind proxies
	works   *ship.Works                   // the memory of all ships
	sample  uint64                        // the key by which clients are kept under overload
	metrics prometheus.Registerer
	log     *slog.Logger
}

// transport is where requests go, and where those are that others published.
type transport interface {
	ship.Publisher
	// open is the bus, once there is one.
	open() (*bus.Bus, error)
}

// nearBus is the transport of a process that has its bus open from the start.
type nearBus struct{ *bus.Bus }

func (n nearBus) open() (*bus.Bus, error) { return n.Bus, nil }

// newCollecting opens all sources of a configuration. Nothing runs yet.
func newCollecting(c config.Config, to transport, apps *applications, metrics prometheus.Registerer, log *slog.Logger) (*logSources, []*pushed, error) {
	resolve, err := newResolvers(c, apps, log, metrics)
	if err != nil {
		return nil, nil, err
	}
	all := &collecting{config: c, to: to, resolve: resolve, works: ship.NewWorks(0), sample: rand.Uint64(), metrics: metrics, log: log}
	logs, err := all.newLogSources()
	if err != nil {
		return nil, nil, err
	}
	pushed, err := all.newPushed()
	return logs, pushed, err
}

// shipOptions are what all sources have in common.
func (c *collecting) shipOptions(site string, format accesslog.Format) ship.Options {
	return ship.Options{
		Edge: c.config.Edge.Name, Site: site, Format: format, Works: c.works, Registerer: c.metrics, Logger: c.log,
		SampleAfter: c.config.Edge.SampleAfter, SampleKey: c.sample,
	}
}

// pushed is a source that others push to.
type pushed struct {
	name     string
	run      func(context.Context) error
	listener interface{ Run(context.Context) error }
	intake   *intake.Intake // the spool and ships behind the listener; nil where NATS holds the lines
}

// takeAndShip takes and ships until ctx ends. What was taken and is not shipped then waits on
// disk for the next start.
func (p *pushed) takeAndShip(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.listener.Run(ctx) })
	group.Go(func() error { return p.intake.Run(ctx) })
	return group.Wait()
}

// newPushed opens the listeners of the sources that others push to, so that an address
// in use is said before anything runs.
func (c *collecting) newPushed() (all []*pushed, err error) {
	for i := range c.config.Sources {
		source := &c.config.Sources[i]
		kind, value := source.Kind()
		var p *pushed
		switch kind {
		case "syslog", "lines":
			p, err = c.newSyslog(kind, value, source)
		case "http":
			p, err = c.newHTTP(value, source)
		case "nats":
			var reader *ingesting
			if reader, err = c.newIngest(value, source); err == nil {
				p = &pushed{run: reader.run}
			}
		case "journal":
			p, err = c.newJournal(value, source)
		case "pipe":
			p, err = c.newPipe(value, source)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sources[%d].%s: %w", i, kind, err)
		}
		if p.name = kind + " " + value; p.run == nil {
			p.run = p.takeAndShip
		}
		all = append(all, p)
	}
	return all, nil
}

// newIntake makes the way of a source's lines from its listener to the stream.
func (c *collecting) newIntake(name string, source *config.Source) (*intake.Intake, *intake.Metrics, error) {
	format, err := accesslog.ByName(source.Format)
	if err != nil {
		return nil, nil, usageError{err}
	}
	metrics, err := intake.NewMetrics(c.metrics, name)
	if err != nil {
		return nil, nil, err
	}
	in, err := intake.New(intake.Options{
		Dir: filepath.Join(c.config.Data, "spool", fileName(name)), Source: name, Max: int64(source.Spool),
		Ship:      c.shipOptions(source.Site, format),
		Publisher: c.to, Resolve: c.resolve, Metrics: metrics, Registerer: c.metrics, Logger: c.log,
	})
	return in, metrics, err
}

func (c *collecting) newSyslog(kind, value string, source *config.Source) (*pushed, error) {
	network, address, err := config.SplitListen(value)
	if err != nil {
		return nil, err
	}
	in, metrics, err := c.newIntake(kind+" "+value, source)
	if err != nil {
		return nil, err
	}
	o := syslog.Options{
		Network: network, Address: address, Plain: kind == "lines", Group: source.Group, Rate: float64(source.Rate),
		Metrics: metrics, Logger: c.log,
	}
	if network == "tls" {
		if o.TLS, err = serverTLS(source.TLS); err != nil {
			return nil, err
		}
	}
	l, err := syslog.New(o, in)
	if err == nil {
		err = l.Open()
	}
	return &pushed{listener: l, intake: in}, err
}

func (c *collecting) newHTTP(address string, source *config.Source) (*pushed, error) {
	token, err := readToken(source)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	var secure *tls.Config
	if source.TLS.Cert != "" {
		if secure, err = serverTLS(source.TLS); err != nil {
			return nil, err
		}
	}
	in, metrics, err := c.newIntake("http "+address, source)
	if err != nil {
		return nil, err
	}
	handler, err := httpin.New(httpin.Options{Token: token, Metrics: metrics, Logger: c.log}, in)
	if err != nil {
		return nil, err
	}
	server := httpin.NewServer(address, secure, handler)
	return &pushed{listener: server, intake: in}, server.Open()
}

// readToken reads the token that senders must give; "" where none is wanted.
func readToken(source *config.Source) (string, error) {
	var token string
	switch {
	case source.TokenFile != "":
		text, err := os.ReadFile(source.TokenFile)
		if err != nil {
			return "", usageError{err}
		}
		token = strings.TrimSpace(string(text))
	case source.TokenEnv != "":
		token = strings.TrimSpace(os.Getenv(source.TokenEnv))
	default:
		return "", nil
	}
	if len(token) < minToken {
		return "", usagef("the token in %s has %d characters, want at least %d: openssl rand -hex 32", source.TokenFile+source.TokenEnv, len(token), minToken)
	}
	return token, nil
}

// minToken is how long a token must be not to be guessed.
const minToken = 16

// serverTLS is how a listener proves itself, and demands proof where there is a ca.
func serverTLS(files config.TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, usagef("tls: cert %q and key %q: %w", files.Cert, files.Key, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if files.CA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, usagef("tls: ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, usagef("tls: ca: no certificate in %s: want PEM", files.CA)
	}
	return c, nil
}

// fileName is a file name of its own for every name of a source: what a person can read
// of it, and a hash.
func fileName(name string) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name) // a hash takes everything
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, name)
	return fmt.Sprintf("%.60s-%016x", readable, h.Sum64())
}

// closePushed brings what the spools hold to disk.
func closePushed(all []*pushed) (err error) {
	for _, p := range all {
		if p.intake != nil {
			err = errors.Join(err, p.intake.Close())
		}
	}
	return err
}
