package embedded

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Names below Options.Dir.
const (
	storeFolder = "clickhouse"       // ClickHouse's own folder
	logFile     = "clickhouse.log"   // rotated by ClickHouse
	lockFile    = "clickhouse.lock"  // holds the owner's process id
	queueFile   = "clickhouse.queue" // locked by who waits to be the owner
	socketFile  = "clickhouse.sock"  // for other commands of the same user
)

// Bounds on ClickHouse's log: this many files of this size.
const (
	logSize  = "8M"
	logFiles = 2
)

// leastMerged is how many parts a merge takes at least. Left alone ClickHouse writes a row
// anew as soon as a few parts lie beside each other, on the two cores that weir needs itself;
// so most rows are written twice in their life, and a query reads some parts more. Nor are
// statistics made of each column: they are for joins, and merging takes longer by them.
const leastMerged = 12

// schedulePool is how many threads plan what runs in the background. Each table plans for
// itself, and of clickhouse-local's two threads one may plan merges: it would say so in the log,
// ten times a second while rows come. They do nothing but plan.
const schedulePool = 32

// secretHeader is the HTTP header without whose right value a listener that others
// can reach answers nothing: clickhouse-local itself needs a user without a password.
const secretHeader = "X-Weir-Store"

// Reader is the user who may read tables and nothing else, no files either.
const Reader = "reader"

// The ports of a child in a network of its own, where they meet nobody else's.
const (
	namespaceNativePort = 9000
	namespaceHTTPPort   = 8123
)

// settings are what the child is started with.
type settings struct {
	dir        string // absolute
	memory     int64  // bytes
	nativePort int    // 0: no native listener
	httpPort   int
	secret     string // what requests over HTTP must show; "" is nothing
}

// write puts ClickHouse's configuration into the store's folder: 0600, for it
// may hold the secret, which as an argument every user of the machine could read.
func (s *settings) write() (path string, err error) {
	folder := filepath.Join(s.dir, storeFolder)
	for name, text := range map[string]string{"config.xml": s.config(), "users.xml": s.users()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(folder, "config.xml"), nil
}

func (s *settings) config() string {
	folder := filepath.Join(s.dir, storeFolder)
	var b bytes.Buffer
	b.WriteString("<clickhouse>\n")
	element := func(name, value string) {
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(value)) // a bytes.Buffer takes everything
		b.WriteString("</" + name + ">\n")
	}
	element("path", filepath.Join(folder, "data"))
	element("tmp_path", filepath.Join(folder, "tmp")+"/")
	element("user_files_path", filepath.Join(folder, "files")+"/")
	element("users_config", filepath.Join(folder, "users.xml"))
	element("listen_host", "127.0.0.1")
	if s.nativePort != 0 {
		element("tcp_port", strconv.Itoa(s.nativePort))
	}
	element("http_port", strconv.Itoa(s.httpPort))
	element("max_server_memory_usage", strconv.FormatInt(s.memory, 10))
	element("mark_cache_size", strconv.FormatInt(s.memory/16, 10))
	element("max_connections", "256")
	element("keep_alive_timeout", "30")
	element("background_schedule_pool_size", strconv.Itoa(schedulePool))
	element("background_schedule_pool_max_parallel_tasks_per_type_ratio", "1")
	b.WriteString("<merge_tree>\n")
	element("min_parts_to_merge_at_once", strconv.Itoa(leastMerged))
	element("auto_statistics_types", "")
	b.WriteString("</merge_tree>\n<logger>\n")
	element("level", "warning")
	element("log", filepath.Join(s.dir, logFile))
	element("size", logSize)
	element("count", strconv.Itoa(logFiles))
	b.WriteString("</logger>\n" + s.handlers() + "</clickhouse>\n")
	return b.String()
}

// handlers is the rule for requests over HTTP that show the secret; there is no other.
func (s *settings) handlers() string {
	if s.secret == "" {
		return ""
	}
	return "<http_handlers><rule><methods>GET,POST</methods><headers><" + secretHeader + ">" + s.secret +
		"</" + secretHeader + "></headers><handler><type>dynamic_query_handler</type>" +
		"<query_param_name>query</query_param_name></handler></rule></http_handlers>\n"
}

// users are default, which may do everything, and Reader; and what a query may use of the memory.
// ClickHouse runs a query on one processor where fewer than two GiB are free, unless it is told
// what a thread needs.
func (s *settings) users() string {
	return fmt.Sprintf(`<clickhouse>
<profiles><default>
<max_memory_usage>%d</max_memory_usage>
<max_bytes_before_external_group_by>%d</max_bytes_before_external_group_by>
<max_bytes_before_external_sort>%d</max_bytes_before_external_sort>
<max_threads_min_free_memory_per_thread>%d</max_threads_min_free_memory_per_thread>
</default></profiles>
<users><default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
<%s><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
<grants><query>GRANT SELECT, SHOW, dictGet ON default.*</query><query>GRANT SELECT, SHOW ON system.*</query></grants></%s>
</users>
<quotas><default></default></quotas>
</clickhouse>
`, s.memory/2, s.memory/4, s.memory/4, s.memory/16, Reader, Reader)
}

// newSecret is 128 bits from the system's source of randomness: letters and digits.
func newSecret() string { return rand.Text() }
