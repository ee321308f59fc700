package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orbitd/orbitd/pkg/acl"
)

// maxFile bounds a configuration file, so that a wrong path (a log, a device)
// is a mistake that is told and not a full memory.
const maxFile = 8 << 20

// DefaultStateDirectory is what the package's unit has systemd create.
const DefaultStateDirectory = "/var/lib/orbitd"

// Options say what a file does not. The zero value is what a daemon that reads
// its file from /etc needs.
type Options struct {
	// Dir is what relative paths start at; by default the folder of the file.
	Dir string
	// StateDirectory is used where $STATE_DIRECTORY is not set; by default it is
	// the engine's path if that is written, else DefaultStateDirectory.
	StateDirectory string
	// Getenv looks up STATE_DIRECTORY and CREDENTIALS_DIRECTORY; by default it
	// is os.Getenv.
	Getenv func(string) string
}

// Load reads the file and those of apps.d beside it. An error that is about
// what is written there is of type [Problems]. A mistake in a file of apps.d is
// no error: it disables that application, see [Config.Disabled].
func Load(path string) (*Config, error) { return LoadWith(path, Options{}) }

// LoadWith is Load with options.
func LoadWith(path string, o Options) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error(), Hint: readHint(err, "name the configuration with -c FILE, and see that it is one and can be read")}}
	}
	folder := filepath.Join(filepath.Dir(path), "apps.d")
	apps, err := appFiles(folder)
	if err != nil {
		return nil, Problems{{File: folder, Text: err.Error(), Hint: "make the folder readable for orbitd"}}
	}
	return parse(path, data, apps, o)
}

// appFiles returns the files of applications in their order; no folder, no
// files. What an editor or dpkg leaves beside them does not end in .toml.
func appFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list it: %w", cause(err))
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".toml") && name[0] != '.' {
			files = append(files, filepath.Join(folder, name))
		}
	}
	return files, nil
}

// Parse reads a configuration from memory, without apps.d; name stands for its
// file in messages.
func Parse(name string, data []byte, o Options) (*Config, error) { return parse(name, data, nil, o) }

func parse(name string, data []byte, appFiles []string, o Options) (*Config, error) {
	if err := o.complete(name); err != nil {
		return nil, err
	}
	doc := &document{file: name, dir: o.Dir, env: o.Getenv}
	top, ok := doc.decode(data)
	if !ok {
		return nil, doc.problems
	}
	c := &Config{File: name, StateDirectory: o.StateDirectory}
	c.read(top)
	checkShadows(doc, nil, c.Rules)
	if len(doc.problems) > 0 {
		return nil, doc.problems.sorted()
	}
	c.Warnings, c.Named = doc.warnings.sorted(), append(doc.named, NamedFile{Path: name, File: name})
	for _, file := range appFiles {
		c.addApp(file, o)
	}
	if err := c.compile(); err != nil {
		return nil, err
	}
	return c, nil
}

func (o *Options) complete(name string) error {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Dir == "" {
		o.Dir = filepath.Dir(name)
	}
	// systemd gives several folders separated by colons; ours has one.
	if state, _, _ := strings.Cut(o.Getenv("STATE_DIRECTORY"), ":"); state != "" {
		o.StateDirectory = state
	}
	for _, path := range []*string{&o.Dir, &o.StateDirectory} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find the folder of %s: %w", name, err)
		}
		if *path != "" {
			*path = absolute
		}
	}
	return nil
}

// read fills c from the main file.
func (c *Config) read(top *table) {
	section := func(name, example string) *table { return top.sub(name, name+".", example) }
	c.Server = readServer(section("server", `{ http = "127.0.0.1:8080" }`))
	c.TLS = readTLS(section("tls", `{ certificate = "PATH", key = "PATH" }`))
	c.Engine = readEngine(section("engine", `{ type = "local" }`), cmp.Or(c.StateDirectory, DefaultStateDirectory))
	c.StateDirectory = cmp.Or(c.StateDirectory, c.Engine.Path)
	c.Session = readSession(section("session", `{ ttl = "2m" }`))
	c.Log = readLog(section("log", `{ level = "info" }`))
	c.Auth = readAuths(top.list("auth"))
	c.Apps = readApps(section("app", `{ chat = { auth = ["file"] } }`), c)
	c.Rules = readRules(top.list("channel"), "", c.Engine.Retain)
	top.done()
	c.checkTogether(top)
	c.checkClients(top)
}

// checkTogether reports values that are right each by itself, and wrong beside
// one another.
func (c *Config) checkTogether(top *table) {
	for key, address := range map[string]string{"https": c.Server.HTTPS, "stomps": c.Server.STOMPS} {
		if address != "" && c.TLS.Certificate == "" {
			line := top.doc.lines[join(join("", "server"), key)]
			top.doc.fail(line, "server."+key+": there is no certificate", "write certificate and key in [tls]")
		}
	}
	if room := c.Engine.SegmentSize / 4; c.Session.MaxMessage > room {
		line := top.doc.lines[join(join("", "session"), "max_message")]
		top.doc.fail(line, fmt.Sprintf("session.max_message: a segment of %s has no room for messages of %s",
			formatSize(c.Engine.SegmentSize), formatSize(c.Session.MaxMessage)),
			fmt.Sprintf("write at most a quarter of engine.segment_size, %q", formatSize(room)))
	}
}

// addApp reads a file of apps.d and takes it in whole, or disables its
// application.
func (c *Config) addApp(file string, o Options) {
	name := strings.TrimSuffix(filepath.Base(file), ".toml")
	doc := &document{file: file, dir: filepath.Dir(file), env: o.Getenv}
	app, rules := c.readAppFile(doc, name)
	if len(doc.problems) > 0 {
		c.Disabled = append(c.Disabled, DisabledApp{name, file, doc.problems.sorted()})
		c.Apps = slices.DeleteFunc(c.Apps, func(a App) bool { return a.Name == name })
		return
	}
	c.Warnings = append(c.Warnings, doc.warnings.sorted()...)
	c.Named = append(c.Named, NamedFile{Path: file, File: file})
	c.Apps = append(c.Apps, app)
	c.Rules = append(c.Rules, rules...)
}

func (c *Config) readAppFile(doc *document, name string) (app App, rules []acl.Rule) {
	if err := checkApp(name); err != nil {
		doc.fail(0, err.Error(), "name the file after the application: the first segment of its channels, and .toml")
		return
	}
	data, err := readFile(doc.file)
	if err != nil {
		doc.fail(0, err.Error(), readHint(err, "make the file readable for orbitd, or remove it"))
		return
	}
	top, ok := doc.decode(data)
	if !ok {
		return
	}
	t := top.sub("app", fmt.Sprintf("app %q: ", name), `{ auth = ["file"] }`)
	app = readApp(t, name, c)
	if _, twice := c.App(name); twice {
		doc.fail(t.line(), fmt.Sprintf("app %q: %s has an [app.%s] too", name, c.File, name), "remove one of them")
	}
	rules = readRules(top.list("channel"), name, c.Engine.Retain)
	top.done()
	elsewhere := func(r acl.Rule) bool {
		app, spelled := r.Match.App()
		return spelled && app != name
	}
	checkShadows(doc, slices.DeleteFunc(slices.Clone(c.Rules), elsewhere), rules)
	return app, rules
}

// compile makes what is asked often out of what was read.
func (c *Config) compile() error {
	slices.SortFunc(c.Apps, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
	c.everyAuth, c.realms = c.authNames(), make(map[string][]string)
	for _, a := range c.Apps {
		c.realms[a.Name] = a.Auth
	}
	disabled := make([]string, len(c.Disabled))
	for i, d := range c.Disabled {
		disabled[i], c.realms[d.Name] = d.Name, nil
	}
	policy, err := acl.Compile(c.Rules, disabled...)
	if err != nil {
		return fmt.Errorf("compile rules: %w", err)
	}
	c.Policy = policy
	return nil
}

// readFile reads a file of bounded size that not everybody can change; its errors do
// not name the file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", cause(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && changeable(info) && info.Mode().IsRegular() {
		return nil, errChangeable
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read it: %w", cause(err))
	case len(data) > maxFile:
		return nil, fmt.Errorf("it is larger than %s", formatSize(maxFile))
	}
	return data, nil
}

// readHint returns what to do about an error of readFile.
func readHint(err error, otherwise string) string {
	if errors.Is(err, errChangeable) {
		return hintChangeable
	}
	return otherwise
}

func hintOf(err error) string {
	if m, ok := errors.AsType[*acl.Mistake](err); ok {
		return m.Hint
	}
	return ""
}
