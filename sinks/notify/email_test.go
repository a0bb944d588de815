package notify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// authority is a certificate for loopback and the file of the authority behind it.
func authority(t testing.TB) (certificate tls.Certificate, ca string) {
	t.Helper()
	certificate, ca, err := newAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return certificate, ca
}

func newAuthority(dir string, names ...string) (certificate tls.Certificate, ca string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return certificate, "", err
	}
	ca = filepath.Join(dir, "ca.pem")
	err = os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca, err
}

// mailServer is a real SMTP server with a mailbox in memory.
type mailServer struct {
	user, password string
	refuse         func(to string) error

	mu    sync.Mutex
	mails []received
}

type received struct {
	from string
	to   []string
	text []byte
	tls  bool
}

func (s *mailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &mailSession{server: s, tls: secure}, nil
}

type mailSession struct {
	server *mailServer
	mail   received
	tls    bool
	signed bool
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.user || password != s.server.password {
			return smtp.ErrAuthFailed
		}
		s.signed = true
		return nil
	}), nil
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.user != "" && !s.signed {
		return smtp.ErrAuthRequired
	}
	s.mail = received{from: from, tls: s.tls}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.server.refuse != nil {
		if err := s.server.refuse(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) (err error) {
	if s.mail.text, err = io.ReadAll(r); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

// serveMail runs it on loopback.
func serveMail(t testing.TB, s *mailServer, certificate *tls.Certificate, implicit bool) (address string) {
	t.Helper()
	server := smtp.NewServer(s)
	server.Domain, server.AllowInsecureAuth = "mail.example.org", false
	server.ErrorLog = quiet{}
	if certificate != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, server.TLSConfig)
	}
	ended := make(chan struct{})
	go func() { _ = server.Serve(l); close(ended) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return address
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func sample() *Message {
	served := 0.412
	return &Message{
		Version: 1, ID: "0a1b2c-7-9f8e7d", Thread: "weir-i261122-050812", Kind: Opened, Severity: Critical, Call: Accept,
		Time:     time.Date(2026, 11, 22, 5, 8, 17, 0, time.UTC),
		Subject:  "[weir edge-1] flood on " + quote("www.example.org", 80),
		Headline: "41 % of visitors are being served; weir has taken 3 decisions and enforces none (mode observe); look at the evidence and accept: " + span("weir decisions accept i261122-050812") + ".",
		Lines:    []string{"Flood on " + quote("www.example.org", 80) + " since 2026-11-22 05:08:12 UTC.", "At its worst 112 requests/s (normal 3.1) from 812 clients in 10 s (normal 40)."},
		Sites:    []string{quote("www.example.org", 80)}, Incidents: []string{"i261122-050812"}, Served: &served,
		Link: "https://grafana.example.org/d/weir?from=1&to=now", Commands: []string{"weir why i261122-050812", "weir top"}, First: true,
	}
}

func mustChannel(t testing.TB, o ChannelOptions) channel {
	t.Helper()
	c, err := newChannel(o, new(secrets))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEmail speaks with a real SMTP server under STARTTLS and under TLS from the start,
// signs in, and answers its own first message.
func TestEmail(t *testing.T) {
	certificate, ca := authority(t)
	for _, scheme := range []string{"smtp", "smtps"} {
		t.Run(scheme, func(t *testing.T) {
			server := &mailServer{user: "weir", password: "hunter22"}
			address := serveMail(t, server, &certificate, scheme == "smtps")
			c := mustChannel(t, ChannelOptions{
				Type: "email", URL: scheme + "://" + address, User: "weir", Password: "hunter22", CA: ca,
				From: "Wehr über Fluß <weir@example.org>", To: []string{"team@example.org", "Boss <boss@example.org>"},
			})
			m := sample()
			ref, err := c.send(t.Context(), m, "")
			if err != nil {
				t.Fatal(err)
			}
			m.First, m.Last, m.ID = false, true, "0a1b2c-8-000000"
			if _, err := c.send(t.Context(), m, ref); err != nil {
				t.Fatal(err)
			}
			if len(server.mails) != 2 || !server.mails[0].tls || server.mails[0].from != "weir@example.org" || strings.Join(server.mails[0].to, " ") != "team@example.org boss@example.org" {
				t.Fatalf("%+v", server.mails)
			}
			first, body := parseMail(t, server.mails[0].text)
			for name, want := range map[string]string{
				"Subject": "[weir edge-1] flood on www.example.org", "Message-Id": "<0a1b2c-7-9f8e7d.weir@example.org>", "Auto-Submitted": "auto-generated",
				"Importance": "high", "To": "<team@example.org>, \"Boss\" <boss@example.org>", "In-Reply-To": "", "Date": "Sun, 22 Nov 2026 05:08:17 +0000",
			} {
				if got := first.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if from, err := first.AddressList("From"); err != nil || from[0].Name != "Wehr über Fluß" {
				t.Errorf("From: %v %v", from, err)
			}
			if want := sample().text(5000); body != want {
				t.Errorf("body\n%s\nwant\n%s", body, want)
			}
			second, _ := parseMail(t, server.mails[1].text)
			if second.Get("In-Reply-To") != first.Get("Message-Id") || second.Get("References") != first.Get("Message-Id") || second.Get("Subject") != "Re: "+first.Get("Subject") {
				t.Errorf("not a thread: %v", second)
			}
		})
	}
}

func parseMail(t testing.TB, text []byte) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.TrimRight(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n")
}

// TestEmailRefuses what would give a password or a message away.
func TestEmailRefuses(t *testing.T) {
	certificate, ca := authority(t)
	plain := serveMail(t, &mailServer{}, nil, false)
	secure := serveMail(t, &mailServer{user: "weir", password: "hunter22"}, &certificate, false)
	o := ChannelOptions{Type: "email", URL: "smtp://" + plain, From: "weir@example.org", To: []string{"team@example.org"}}
	with := func(change func(*ChannelOptions)) ChannelOptions { c := o; change(&c); return c }
	for name, c := range map[string]struct {
		o    ChannelOptions
		want string
	}{
		"a password without TLS": {with(func(c *ChannelOptions) { c.User, c.Password = "weir", "hunter22" }), "STARTTLS"},
		"an unknown certificate": {with(func(c *ChannelOptions) { c.URL, c.User, c.Password = "smtp://"+secure, "weir", "hunter22" }), "certificate"},
		"a wrong password":       {with(func(c *ChannelOptions) { c.URL, c.CA, c.User, c.Password = "smtp://"+secure, ca, "weir", "hunter23" }), "535"},
		"nobody there":           {with(func(c *ChannelOptions) { c.URL = "smtp://127.0.0.1:1" }), "refused"},
	} {
		_, err := mustChannel(t, c.o).send(t.Context(), sample(), "")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A relay on this machine needs neither.
	if _, err := mustChannel(t, o).send(t.Context(), sample(), ""); err != nil {
		t.Error(err)
	}
	for _, bad := range []ChannelOptions{
		with(func(c *ChannelOptions) { c.From = "weir@example.org\r\nBcc: x@example.org" }), with(func(c *ChannelOptions) { c.To = []string{"nobody"} }),
		with(func(c *ChannelOptions) { c.To = nil }), with(func(c *ChannelOptions) { c.URL = "mail.example.org" }),
		with(func(c *ChannelOptions) { c.URL = "smtp://u:p@mail.example.org" }), with(func(c *ChannelOptions) { c.User = "weir" }),
	} {
		if _, err := newChannel(bad, new(secrets)); err == nil {
			t.Errorf("taken: %+v", bad)
		}
	}
}

// TestEmailRecipients: a mailbox that is gone keeps the others from nothing, and is not
// passed over in silence; one that is refused for now has the message later, the others once.
func TestEmailRecipients(t *testing.T) {
	answers := map[string]error{}
	server := &mailServer{refuse: func(to string) error { return answers[to] }}
	o := ChannelOptions{Type: "email", URL: "smtp://" + serveMail(t, server, nil, false), From: "weir@example.org", To: []string{"gone@example.org", "late@example.org", "team@example.org"}}
	var told []string
	c := mustChannel(t, o).(*email)
	c.refused = func(to string, err error) { told = append(told, to+" "+err.Error()) }
	had := func() string {
		server.mu.Lock()
		defer server.mu.Unlock()
		var all []string
		for _, m := range server.mails {
			all = append(all, strings.Join(m.to, "+"))
		}
		return strings.Join(all, " ")
	}
	send := func(id string) error {
		m := sample()
		m.ID = id
		_, err := c.send(t.Context(), m, "")
		return err
	}
	var r *refusal
	answers["gone@example.org"] = &smtp.SMTPError{Code: 550, Message: "no"}
	answers["late@example.org"] = &smtp.SMTPError{Code: 451, Message: "greylisted"}
	for range 2 {
		if err := send("a"); !errors.As(err, &r) || r.final() || !strings.Contains(err.Error(), "late@example.org") || strings.Contains(err.Error(), "gone@") {
			t.Fatalf("%v", err)
		}
	}
	delete(answers, "late@example.org")
	if err := send("a"); err != nil {
		t.Fatal(err)
	}
	if got := had(); got != "team@example.org late@example.org" {
		t.Errorf("had by %s", got)
	}
	if len(told) != 1 || told[0] != "gone@example.org refused with 550: no" {
		t.Errorf("told of %q", told)
	}

	// A mailbox that stays full holds one message up, not all that follow.
	c.to, told, server.mails = c.to[1:], nil, nil
	answers["late@example.org"] = &smtp.SMTPError{Code: 452, Message: "full"}
	tries := 1
	for ; send("b") != nil; tries++ {
		if tries > 100 {
			t.Fatal("for ever")
		}
	}
	if err := send("c"); err != nil || tries != partlyTries || len(told) != 2 || had() != "team@example.org team@example.org" || len(c.partly) != 0 {
		t.Errorf("%v, %d tries, told of %q, had by %s, %d kept", err, tries, told, had(), len(c.partly))
	}
	delete(answers, "late@example.org")
	if err := send("d"); err != nil || len(c.slow) != 0 {
		t.Errorf("%v %v", err, c.slow)
	}

	// Nobody has it: the whole message is refused.
	o.To = o.To[:1]
	_, err := mustChannel(t, o).send(t.Context(), sample(), "")
	if !errors.As(err, &r) || r.status != 550 || !r.final() {
		t.Errorf("%v", err)
	}
}

// TestTryTellsWhoIsRefused: a test message is not simply taken where one does not get it.
func TestTryTellsWhoIsRefused(t *testing.T) {
	server := &mailServer{refuse: func(to string) error {
		if strings.HasPrefix(to, "gone") {
			return &smtp.SMTPError{Code: 550, Message: "no"}
		}
		return nil
	}}
	o := options(t)
	o.Channels["mail"] = ChannelOptions{Type: "email", URL: "smtp://" + serveMail(t, server, nil, false), From: "weir@example.org", To: []string{"gone@example.org", "team@example.org"}}
	tried, err := Try(t.Context(), o, "")
	if err != nil || len(tried) != 1 || tried[0].Err != nil || strings.Join(tried[0].Refused, ", ") != "gone@example.org refused with 550: no" {
		t.Errorf("%+v %v", tried, err)
	}
}

// TestEmailHeaders: no subject, whatever is in it, ends its header.
func TestEmailHeaders(t *testing.T) {
	e := mustChannel(t, ChannelOptions{Type: "email", URL: "smtp://127.0.0.1:25", From: "weir@example.org", To: []string{"team@example.org"}}).(*email)
	for _, subject := range []string{"a\r\nBcc: x@example.org", "a\n\nbody", "ü\r\nX: y", strings.Repeat("long ü ", 100), "=?utf-8?q?x?=\x00"} {
		m := sample()
		m.Subject = subject
		text, _ := e.compose(m, "")
		header, _ := parseMail(t, text)
		if len(header) != 10 {
			t.Errorf("%q: %d headers: %v", subject, len(header), header)
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject")); err != nil || strings.ContainsAny(got, "\r\n\x00") || got == "x" {
			t.Errorf("%q %v", got, err)
		}
		for _, line := range strings.Split(string(text), "\r\n") {
			if len(line) > 998 || strings.Contains(line, "\n") {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	}
}

// TestEmailGivesUp: a server that says nothing holds nobody for ever.
func TestEmailGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := mustChannel(t, ChannelOptions{Type: "email", URL: "smtp://" + l.Addr().String(), From: "weir@example.org", To: []string{"team@example.org"}})
	if _, err := c.send(ctx, sample(), ""); err == nil {
		t.Error("sent to nobody")
	}
}
