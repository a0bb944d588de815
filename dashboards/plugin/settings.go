package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
)

// settings are a data source's, as its configuration page or a provisioning file writes them.
type settings struct {
	// ClickHouse is http://HOST:PORT/api/sql of a weir run with the embedded one, or
	// clickhouse://HOST:9000/DATABASE (also http, https) of a server.
	ClickHouse string `json:"clickhouse"`
	// User reads a server; empty is default. With /api/sql there is none.
	User string `json:"clickhouseUser"`
	// NATS is nats://HOST:4222, several with commas between.
	NATS string `json:"nats"`
	// Metrics is weir's /metrics, for what only weir itself knows; may be empty.
	Metrics string `json:"metrics"`
	// CA and Cert are PEM: whom to trust, and with whose certificate to show oneself.
	CA   string `json:"tlsCA"`
	Cert string `json:"tlsCert"`
	// Seconds and Rows bound one query; 0 is the default.
	Seconds int `json:"maxSeconds"`
	Rows    int `json:"maxRows"`

	password    string // of ClickHouse: the user's, or the token of /api/sql
	credentials string // of NATS, as `nsc generate creds` writes them
	key         string // PEM, of Cert
}

// Defaults and the most that a person can set.
const (
	defaultSeconds = 10
	mostSeconds    = 300
	defaultMostRow = 10_000
	mostRows       = 1_000_000
)

// parseSettings says by which field something is wrong.
func parseSettings(s backend.DataSourceInstanceSettings) (c settings, err error) {
	if len(s.JSONData) > 0 {
		if err := json.Unmarshal(s.JSONData, &c); err != nil {
			return c, fmt.Errorf("the data source's settings: %w", err)
		}
	}
	c.password, c.credentials, c.key = s.DecryptedSecureJSONData["clickhousePassword"], s.DecryptedSecureJSONData["natsCredentials"], s.DecryptedSecureJSONData["tlsKey"]
	if c.Seconds == 0 {
		c.Seconds = defaultSeconds
	}
	if c.Rows == 0 {
		c.Rows = defaultMostRow
	}
	return c, errors.Join(
		checkURL("ClickHouse", c.ClickHouse, "http://127.0.0.1:8480/api/sql", "http", "https", "clickhouse"),
		checkURL("NATS", c.NATS, "nats://127.0.0.1:4222", "nats", "tls", "ws", "wss"),
		optional(c.Metrics, func() error {
			return checkURL("metrics", c.Metrics, "http://127.0.0.1:8480/metrics", "http", "https")
		}),
		between("the time limit", c.Seconds, mostSeconds), between("the row limit", c.Rows, mostRows),
	)
}

func optional(value string, check func() error) error {
	if value == "" {
		return nil
	}
	return check()
}

func between(what string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%s is %d, want 1 to %d", what, n, most)
	}
	return nil
}

func checkURL(what, text, example string, schemes ...string) error {
	if text == "" {
		return fmt.Errorf("the address of %s is empty: such as %s", what, example)
	}
	for _, one := range strings.Split(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			return fmt.Errorf("the address of %s is not of the form %s", what, example)
		}
		known := false
		for _, s := range schemes {
			known = known || u.Scheme == s
		}
		if !known {
			return fmt.Errorf("the address of %s begins with %s://, want %s", what, u.Scheme, strings.Join(schemes, "://, ")+"://")
		}
		if u.User != nil {
			return fmt.Errorf("the address of %s holds a user or a password: put them into their own fields, where they are kept secret", what)
		}
	}
	return nil
}

func (s *settings) timeLimit() time.Duration { return time.Duration(s.Seconds) * time.Second }
