package statuspage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// SFTP is a folder on another machine.
type SFTP struct {
	Address   string // host:port
	User      string
	Directory string // of the page there; made where missing
	// HostKey is the server's public key as ssh-keyscan prints it, without the host:
	// "ssh-ed25519 AAAA...". Another key is refused.
	HostKey string
	// Key is a private key in PEM without a passphrase; or else Password.
	Key      []byte
	Password string

	sums map[string][sha256.Size]byte // of what is there, by name
}

// Name is the server's.
func (s *SFTP) Name() string { return "sftp:" + s.Address }

// ParseHostKey reads a public key as ssh-keyscan prints it.
func ParseHostKey(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, errors.New("want the server's public key, such as \"ssh-ed25519 AAAA...\": ssh-keyscan HOST prints it behind the host's name")
	}
	return key, nil
}

// Check says what cannot be read of the keys, before anything is pushed.
func (s *SFTP) Check() error {
	_, err := s.config()
	return err
}

func (s *SFTP) config() (*ssh.ClientConfig, error) {
	key, err := ParseHostKey(s.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	algorithms := []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	c := &ssh.ClientConfig{User: s.User, HostKeyCallback: ssh.FixedHostKey(key), HostKeyAlgorithms: algorithms, Timeout: 20 * time.Second}
	if len(s.Key) > 0 {
		signer, err := ssh.ParsePrivateKey(s.Key)
		if err != nil {
			return nil, errors.New("the private key cannot be read: want a PEM without a passphrase")
		}
		c.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	} else {
		c.Auth = []ssh.AuthMethod{ssh.Password(s.Password)}
	}
	return c, nil
}

// Put writes what has changed, each file whole or not at all.
func (s *SFTP) Put(ctx context.Context, files []File, _ bool) error {
	if err := s.put(ctx, files); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("sftp %s: %w", s.Address, err)
	}
	return nil
}

func (s *SFTP) put(ctx context.Context, files []File) error {
	config, err := s.config()
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: config.Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sshConn, channels, requests, err := ssh.NewClientConn(conn, s.Address, config)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	client := ssh.NewClient(sshConn, channels, requests)
	defer client.Close()
	transfer, err := sftp.NewClient(client)
	if err != nil {
		return err
	}
	defer transfer.Close()
	if s.sums == nil {
		s.sums = make(map[string][sha256.Size]byte)
	}
	for _, f := range files {
		sum := sha256.Sum256(f.Body)
		if s.sums[f.Name] == sum {
			continue
		}
		delete(s.sums, f.Name)
		if err := writeRemote(transfer, path.Join(s.Directory, f.Name), f.Body); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		s.sums[f.Name] = sum
	}
	return nil
}

func writeRemote(c *sftp.Client, name string, body []byte) error {
	if err := c.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	temporary := path.Join(path.Dir(name), ".weir-"+rand.Text())
	f, err := c.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Chmod(0o644)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = c.PosixRename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, c.Remove(temporary))
	}
	return nil
}
