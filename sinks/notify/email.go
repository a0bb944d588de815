package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// email speaks SMTP to one server, under TLS unless that is this machine. Message-ID is
// made of the message's id, so that a mailbox which knows it keeps one, and later
// messages name the first (RFC 5322, 3.6.4).
type email struct {
	address  string // host:port
	host     string
	implicit bool // TLS from the first byte
	starttls bool
	tls      *tls.Config
	user     string
	password string
	from     *mail.Address
	to       []*mail.Address
	// refused is told of a recipient whom the server will never take while others have
	// the message. May be nil.
	refused func(to string, err error)

	// One goroutine sends. After a restart a message may reach once more those who had it.
	partly map[string]*partly // by a message's id, those that some have
	slow   map[string]bool    // recipients that were waited for in vain
}

// partly is a message that some recipients have.
type partly struct {
	done  map[string]bool // who needs no more attempts
	tries int
}

const (
	// partlyTries is how often a message is tried for those that the server refuses for
	// now: about ten minutes, which greylisting takes at most. What follows waits, for
	// the others too, so the next message is tried once for whoever let this one lapse.
	partlyTries = 10
	maxPartly   = 64
)

func newEmail(r *resolved) (channel, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("url: want smtp://host:587 or smtps://host:465, the user and password as keys of their own")
	}
	e := &email{
		host: u.Hostname(), implicit: u.Scheme == "smtps", user: r.User, password: r.Password,
		partly: make(map[string]*partly), slow: make(map[string]bool),
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "465", false: "587"}[e.implicit]
	}
	e.address = net.JoinHostPort(e.host, port)
	authorities, err := pool(r.CA)
	if err != nil {
		return nil, err
	}
	e.tls = &tls.Config{ServerName: e.host, MinVersion: tls.VersionTLS12, RootCAs: authorities}
	e.starttls = !e.implicit && (!loopback(e.host) || e.user != "" || r.CA != "")
	if (e.user == "") != (e.password == "") {
		return nil, errors.New("user: want both user and password, or neither")
	}
	if e.from, err = mail.ParseAddress(r.From); err != nil {
		return nil, fmt.Errorf("from: want an address, such as weir@example.org: %w", err)
	}
	if len(r.To) == 0 {
		return nil, errors.New("to: want an address at least")
	}
	for i, text := range r.To {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("to[%d]: want an address: %w", i, err)
		}
		e.to = append(e.to, a)
	}
	return e, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A mailbox need not look at Message-ID.
func (e *email) idempotent() bool { return false }

func (e *email) send(ctx context.Context, m *Message, earlier string) (string, error) {
	text, id := e.compose(m, earlier)
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", e.address)
	if err != nil {
		return "", err
	}
	// The client has deadlines of its own, and sets them over others.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	client, err := e.greet(ctx, conn)
	if err != nil {
		return "", smtpError(err)
	}
	if e.user != "" {
		if err := client.Auth(sasl.NewPlainClient("", e.user, e.password)); err != nil {
			return "", smtpError(fmt.Errorf("sign in: %w", err))
		}
	}
	p := e.partly[m.ID]
	if p == nil {
		p = &partly{done: make(map[string]bool)}
	}
	if err := client.Mail(e.from.Address, nil); err != nil {
		return "", smtpError(err)
	}
	var accepted []string
	later, never := make(map[string]error), make(map[string]error)
	var refusedBy error // for now, where one is
	for _, to := range e.to {
		if p.done[to.Address] {
			continue
		}
		err := client.Rcpt(to.Address, nil)
		var answer *smtp.SMTPError
		switch {
		case err == nil:
			accepted = append(accepted, to.Address)
		case !errors.As(err, &answer):
			return "", err
		case answer.Temporary():
			later[to.Address], refusedBy = err, err
		default:
			never[to.Address] = err
			if len(later) == 0 {
				refusedBy = err
			}
		}
	}
	if len(accepted) == 0 && len(p.done) == 0 {
		return "", smtpError(refusedBy)
	}
	if len(accepted) > 0 {
		if err := data(client, text); err != nil {
			return "", smtpError(err)
		}
	}
	_ = client.Quit() // the server has the message
	return id, e.settle(m.ID, p, accepted, later, never)
}

// settle notes who has a message. Its error says that some are to have it later.
func (e *email) settle(id string, p *partly, accepted []string, later, never map[string]error) error {
	for _, to := range accepted {
		p.done[to] = true
		delete(e.slow, to)
	}
	p.tries++
	wait := false
	for to := range later {
		wait = wait || !e.slow[to]
	}
	if wait && p.tries >= partlyTries {
		wait = false
		for to := range later {
			e.slow[to] = true
		}
	}
	for to, err := range never {
		p.done[to] = true
		e.give(to, err)
	}
	if wait {
		if len(e.partly) >= maxPartly {
			clear(e.partly)
		}
		e.partly[id] = p
		r := &refusal{status: 450} // whichever it was: it is not for good
		for _, to := range e.to {
			if err := later[to.Address]; err != nil {
				r.text += fmt.Sprintf("%s: %v; ", to.Address, err)
			}
		}
		r.text += "the others have the message"
		return r
	}
	for to, err := range later {
		e.give(to, err)
	}
	delete(e.partly, id)
	return nil
}

func (e *email) give(to string, err error) {
	if e.refused != nil {
		e.refused(to, smtpError(err))
	}
}

func data(client *smtp.Client, text []byte) error {
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}

// greet speaks until the server knows who this is, under TLS.
func (e *email) greet(ctx context.Context, conn net.Conn) (client *smtp.Client, err error) {
	switch {
	case e.implicit:
		secure := tls.Client(conn, e.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		client = smtp.NewClient(secure)
	case e.starttls:
		if client, err = smtp.NewClientStartTLS(conn, e.tls); err != nil {
			return nil, fmt.Errorf("STARTTLS: %w", err)
		}
	default:
		client = smtp.NewClient(conn)
	}
	client.CommandTimeout, client.SubmissionTimeout = sendTimeout, sendTimeout
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, " \r\n") || name == "" {
		name = "localhost"
	}
	return client, client.Hello(name)
}

// smtpError turns an answer of the server into a refusal.
func smtpError(err error) error {
	var answer *smtp.SMTPError
	if errors.As(err, &answer) {
		return &refusal{status: answer.Code, text: answer.Message}
	}
	return err
}

// compose is the message as RFC 5322 has it, and its Message-ID. No value of a header
// holds a line break: addresses were parsed, and the subject is encoded.
func (e *email) compose(m *Message, earlier string) (text []byte, id string) {
	_, domain, _ := strings.Cut(e.from.Address, "@")
	id = "<" + m.ID + ".weir@" + domain + ">"
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", e.from.String())
	var to []string
	for _, a := range e.to {
		to = append(to, a.String())
	}
	header("To", strings.Join(to, ",\r\n "))
	header("Subject", encodeHeader(m.subjectLine()))
	header("Date", m.Time.Format(time.RFC1123Z))
	header("Message-ID", id)
	if earlier != "" {
		header("In-Reply-To", earlier)
		header("References", earlier)
	}
	header("Auto-Submitted", "auto-generated") // RFC 3834: no answers by machine
	if m.Severity == Critical {
		header("Importance", "high")
	}
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(m.text(60_000), "\n", "\r\n") + "\r\n")) // a buffer takes everything
	_ = w.Close()
	return b.Bytes(), id
}

// encodeHeader is RFC 2047, folded, for what is not plain ASCII or too long for a line.
func encodeHeader(text string) string {
	text = cutRunes(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ReplaceAll(text, "=?", "= ?")), 200) // nobody else's encoded words
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
}

// subjectLine is the same for a thread, so that programs that thread by it do.
func (m *Message) subjectLine() string {
	if m.First {
		return plain(m.Subject)
	}
	return "Re: " + plain(m.Subject)
}
