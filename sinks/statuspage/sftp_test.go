package statuspage

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is a real OpenSSH on loopback, with a key of its own, for the user who runs
// the test.
type sshServer struct {
	address, hostKey, user, keyFile string
	key                             []byte
}

func newKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func startSSH(t *testing.T) *sshServer {
	t.Helper()
	sshd := need(t, "/usr/sbin/sshd", "sshd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &sshServer{user: me.Username, keyFile: filepath.Join(dir, "key")}
	private, public := newKey(t)
	var hostPrivate, authorized []byte
	hostPrivate, s.hostKey = newKey(t)
	s.key, authorized = private, []byte(public+"\n")
	for name, body := range map[string][]byte{"host": hostPrivate, "authorized": authorized, "key": private} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(s.address)
	config := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
HostKey %[2]s/host
AuthorizedKeysFile %[2]s/authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
Subsystem sftp internal-sftp
`, port, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // Debian's sshd wants it, and its own unit makes it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(sshd, "-D", "-e", "-f", config)
	errs, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ready, said := make(chan bool, 1), new(bytes.Buffer)
	go func() {
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			fmt.Fprintln(said, lines.Text())
			if contains(lines.Text(), "Server listening") {
				ready <- true
			}
		}
		close(ready)
	}()
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("sshd ended: %s", said)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("sshd does not listen")
	}
	return s
}

// TestSFTP pushes to a real OpenSSH server whose key is known.
func TestSFTP(t *testing.T) {
	server := startSSH(t)
	folder := filepath.Join(t.TempDir(), "www", "status")
	place := &SFTP{Address: server.address, User: server.user, Directory: folder, HostKey: server.hostKey, Key: server.key}
	for _, text := range []string{"<p>one", "<p>two", "<p>two"} {
		if err := place.Put(t.Context(), page(text), true); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, "index.html"))
		if err != nil || string(got) != text {
			t.Errorf("the folder has %q, %v", got, err)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "api/v2/status.json"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info, err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, ".weir-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	_, other := newKey(t)
	impostor := &SFTP{Address: server.address, User: server.user, Directory: folder, HostKey: other, Key: server.key}
	if err := impostor.Put(t.Context(), page("<p>three"), true); err == nil || !contains(err.Error(), "host key mismatch") {
		t.Errorf("another host key: %v", err)
	}
	stranger, _ := newKey(t)
	if err := (&SFTP{Address: server.address, User: server.user, Directory: folder, HostKey: server.hostKey, Key: stranger}).Put(t.Context(), page("x"), true); err == nil {
		t.Error("a stranger's key was taken")
	}
	if err := (&SFTP{Address: server.address, HostKey: "SHA256:abc"}).Check(); err == nil {
		t.Error("a fingerprint is no key")
	}
}

// TestGitOverSSH pushes over the real ssh to the real sshd, and refuses another key.
func TestGitOverSSH(t *testing.T) {
	need(t, "ssh")
	server, r := startSSH(t), newRepository(t)
	place := &Git{URL: "ssh://" + server.user + "@" + server.address + r.path, Branch: "weir-status", KeyFile: server.keyFile, HostKey: server.hostKey}
	if err := place.Put(t.Context(), page("<p>one"), true); err != nil {
		t.Fatal(err)
	}
	if got := r.show("weir-status:index.html"); got != "<p>one" {
		t.Errorf("the branch has %q", got)
	}
	_, place.HostKey = newKey(t)
	if err := place.Put(t.Context(), page("<p>two"), true); err == nil || !contains(err.Error(), "ost key") {
		t.Errorf("another host key: %v", err)
	}
}
