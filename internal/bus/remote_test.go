package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/weir-project/weir/schemas"
)

// remote starts a nats-server as a cluster's would be, on loopback.
func remote(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), NoLog: true,
		JetStreamMaxStore: 1 << 60,
	}
	change(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server did not start")
	}
	return s
}

func wantError(t *testing.T, o Options, want ...string) {
	t.Helper()
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute
	}
	b, err := Open(t.Context(), o)
	if err == nil {
		b.Close()
		t.Fatal("it opened")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

func roundTrip(t *testing.T, b *Bus) {
	t.Helper()
	publish(t, b, schemas.SubjectRequests(0), "", "data")
	wantStrings(t, take(t, b, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}, 1), "data")
}

// authority signs certificates into a folder: NAME.pem and NAME.key.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca")
	return a
}

// issue makes a certificate; the first is the authority's own.
func (a *authority) issue(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	a.write(t, name+".key", "EC PRIVATE KEY", keyDER)
	return cert, key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are this side's, the authority's included.
func (a *authority) files(name string) TLS {
	return TLS{CA: filepath.Join(a.dir, "ca.pem"), Cert: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key")}
}

// operator makes what a cluster with accounts has: its JWTs, and a credentials
// file of one user.
func operator(t *testing.T, o *server.Options) (credentials string) {
	t.Helper()
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		if err != nil {
			t.Fatal(err)
		}
		public, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, public
	}
	must := func(text string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	opKey, opPublic := pair(nkeys.CreateOperator())
	_, systemPublic := pair(nkeys.CreateAccount())
	accountKey, accountPublic := pair(nkeys.CreateAccount())
	userKey, userPublic := pair(nkeys.CreateUser())

	account := jwt.NewAccountClaims(accountPublic)
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	resolver := &server.MemAccResolver{}
	for public, text := range map[string]string{
		systemPublic:  must(jwt.NewAccountClaims(systemPublic).Encode(opKey)),
		accountPublic: must(account.Encode(opKey)),
	} {
		if err := resolver.Store(public, text); err != nil {
			t.Fatal(err)
		}
	}
	o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(opPublic)}
	o.AccountResolver, o.SystemAccount = resolver, systemPublic

	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(must(jwt.NewUserClaims(userPublic).Encode(accountKey)), seed)
	if err != nil {
		t.Fatal(err)
	}
	credentials = filepath.Join(t.TempDir(), "edge.creds")
	if err := os.WriteFile(credentials, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return credentials
}

func TestRemoteWithTLSAndCredentials(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "server")
	a.issue(t, "client")
	var credentials string
	s := remote(t, func(o *server.Options) {
		config, err := serverTLS(a.files("server"))
		if err != nil {
			t.Fatal(err)
		}
		o.TLSConfig, o.TLSVerify, o.TLSTimeout = config, true, 60
		credentials = operator(t, o)
	})
	good := Options{URL: strings.Replace(s.ClientURL(), "nats://", "tls://", 1), Credentials: credentials, TLS: a.files("client")}
	roundTrip(t, open(t, good))

	bad := good
	bad.Credentials = ""
	wantError(t, bad, s.Addr().String(), "nats.credentials")
	bad.Credentials = filepath.Join(t.TempDir(), "none")
	wantError(t, bad, "credentials: open", "no such file")
	bad = good
	bad.TLS = TLS{CA: good.TLS.CA}
	wantError(t, bad, s.Addr().String(), "nats.tls")
	other := newAuthority(t)
	bad.TLS = good.TLS
	bad.TLS.CA = other.files("ca").CA
	wantError(t, bad, "nats.tls")
	bad.TLS.CA = credentials
	wantError(t, bad, "no certificate in "+credentials)
	bad.TLS = good.TLS
	bad.TLS.Key = other.files("ca").Key
	wantError(t, bad, "tls: cert")
}

// The embedded server answers others only if they prove themselves.
func TestEmbeddedListens(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "server")
	a.issue(t, "client")
	b := open(t, Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: a.files("server")})
	url := "tls://" + b.server.server.Addr().String()
	wantError(t, Options{URL: url, TLS: TLS{CA: a.files("ca").CA}}, "nats.tls")
	roundTrip(t, open(t, Options{URL: url, TLS: a.files("client")}))

	wantError(t, Options{Dir: t.TempDir(), Listen: b.server.server.Addr().String()}, "address already in use", "nats.listen")
	plain := open(t, Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	roundTrip(t, open(t, Options{URL: "nats://" + plain.server.server.Addr().String(), LeaveStreams: true}))
	if addr := open(t, Options{}).server.server.Addr(); addr != nil {
		t.Errorf("without Listen it listens on %v", addr)
	}
}

func TestUnreachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://me:secret@" + closed.Addr().String()
	closed.Close()
	wantError(t, Options{URL: url}, closed.Addr().String(), "start the server, mend nats.url")
	if _, err := Open(t.Context(), Options{URL: url}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the password stands in %v", err)
	}
	wantError(t, Options{URL: "localhost"}, "want nats://host:port")

	// One that takes connections and never says a word.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	wantError(t, Options{URL: "nats://" + mute.Addr().String(), StartTimeout: 50 * time.Millisecond}, mute.Addr().String(), "nats.url")

	noStreams := remote(t, func(o *server.Options) { o.JetStream = false })
	wantError(t, Options{URL: noStreams.ClientURL()}, "no JetStream: start it with -js")
}

// What the owner of a cluster has set there is kept.
func TestRemoteStreamsKeepTheirLimits(t *testing.T) {
	s := remote(t, func(*server.Options) {})
	b := open(t, Options{URL: s.ClientURL()})
	stream, err := b.js.Stream(t.Context(), schemas.StreamRequests)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.MaxAge, c.MaxBytes = time.Hour, 1<<20
	if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b = open(t, Options{URL: s.ClientURL()})
	if stream, err = b.js.Stream(t.Context(), schemas.StreamRequests); err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Config; c.MaxAge != time.Hour || c.MaxBytes != 1<<20 {
		t.Errorf("%+v", c)
	}
}

// A server that goes away and comes back, with its streams, interrupts nobody
// for longer than that.
func TestReconnect(t *testing.T) {
	dir := t.TempDir()
	first := remote(t, func(o *server.Options) { o.StoreDir = dir })
	port := first.Addr().(*net.TCPAddr).Port
	b := open(t, Options{URL: first.ClientURL()})
	publish(t, b, schemas.SubjectRequests(0), "1", "1")

	got := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	read := func(m *Message) error { got <- string(m.Data()); return m.Ack() }
	go func() {
		done <- b.Consume(ctx, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"},
			func(_ context.Context, m *Message) error { return read(m) })
	}()
	go func() {
		done <- b.Follow(ctx, FollowOptions{Stream: schemas.StreamRequests, Reader: "f"},
			func(_ context.Context, m *Message) error { return read(m) })
	}()
	wantStrings(t, []string{<-got, <-got}, "1", "1")

	first.Shutdown()
	first.WaitForShutdown()
	if err := b.Publish(t.Context(), schemas.SubjectRequests(0), "2", []byte("2")); err == nil {
		t.Error("published without a server")
	}
	remote(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	for t.Context().Err() == nil {
		if err := b.Publish(t.Context(), schemas.SubjectRequests(0), "2", []byte("2")); err == nil {
			break
		}
	}
	count := map[string]int{}
	for count["2"] < 2 { // one for each reader; "1" may come again
		count[<-got]++
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
