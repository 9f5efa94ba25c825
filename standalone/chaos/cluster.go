package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"

	"github.com/dealwright/dealwright/standalone/privatepostgres"
)

// The engine's processes.
var (
	apiNames    = []string{"api-1", "api-2"}
	workerNames = []string{"worker-1", "worker-2"}
)

const temporalName = "temporal"

// The keys of a cluster that lives for minutes, on loopback.
const (
	adminKey      = "dw_chaos000000000000000000000000000000"
	encryptionKey = "Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2g="
)

// engineSchedule is as long as one may be, so that no delivery is given up while its receiver fails now and then.
var engineSchedule = "1s,2s" + strings.Repeat(",3s", 48)

// Cluster is the production shape on one machine: Postgres, a Temporal server, two API processes and two workers, each a
// process of its own. The engine's four reach Postgres and Temporal through proxies of their own.
type Cluster struct {
	options  Options
	folder   string
	built    binaries
	postgres *privatepostgres.Server
	door     *door
	proxies  *proxies
	temporal *process
	engine   map[string]*process // by name
	apis     []string            // base URLs
	bucket   *bucket
	clock    *clock
	log      *os.File
	db       *sql.DB // straight to Postgres, for what faults need
}

// StartCluster starts everything in a folder of its own and returns when it is ready.
func StartCluster(ctx context.Context, o Options) (*Cluster, error) {
	folder, err := os.MkdirTemp("", "dealwright-chaos-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, folder: folder, proxies: &proxies{}, engine: map[string]*process{}}
	if err := c.start(ctx); err != nil {
		err = fmt.Errorf("start the cluster (its logs are in %s): %w", c.Logs(), err)
		return nil, errors.Join(err, c.Stop(), c.Remove(true))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) (err error) {
	if err := os.Chmod(c.folder, 0o711); err != nil { // Postgres runs as another account when we are root, and has to get to its data
		return err
	}
	if err := os.Mkdir(c.Logs(), 0o755); err != nil {
		return err
	}
	if c.built, err = findBinaries(ctx, c.options.Binaries); err != nil {
		return err
	}
	const doorAndTemporal = 2
	ports, err := choosePorts(ctx, doorAndTemporal+len(apiNames)+2*len(apiNames)+2*len(workerNames))
	if err != nil {
		return err
	}
	next := func() string {
		port := ports[0]
		ports = ports[1:]
		return port
	}
	doorAddress, temporalAddress := next(), next()
	if err := c.startPostgres(ctx, doorAddress); err != nil {
		return err
	}
	if err := c.startTemporal(temporalAddress); err != nil { //nolint:contextcheck // a process outlives the start
		return err
	}
	if c.bucket, err = makeBucket(c.folder); err != nil {
		return err
	}
	for _, name := range append(append([]string{}, apiNames...), workerNames...) {
		toPG, toTemp := next(), next()
		err := errors.Join(
			c.proxies.add(name, toPostgres, toPG, doorAddress),
			c.proxies.add(name, toTemporal, toTemp, temporalAddress))
		if err != nil {
			return err
		}
		if err := c.startEngine(name, toPG, toTemp, next); err != nil { //nolint:contextcheck // as above
			return err
		}
	}
	return c.settle(ctx)
}

// settle waits for the cluster's first readiness, and gives up at once where a process cannot even start.
func (c *Cluster) settle(ctx context.Context) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	err := until(ctx, func(ctx context.Context) error {
		if ends := c.Surprises(); len(ends) > 0 {
			giveUp(errors.New(ends[0]))
		}
		return c.check(ctx)
	})
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

func findBinaries(ctx context.Context, folder string) (binaries, error) {
	if folder == "" {
		return buildAll(ctx)
	}
	folder, err := filepath.Abs(folder)
	return binariesIn(folder), err
}

func (c *Cluster) startPostgres(ctx context.Context, address string) (err error) {
	if c.log, err = os.Create(filepath.Join(c.Logs(), "postgres.log")); err != nil {
		return err
	}
	c.clock = findClock(c.options.FakeTime, c.folder)
	c.clock.preload()
	c.postgres, err = privatepostgres.Start(ctx, privatepostgres.Options{
		Dir: filepath.Join(c.folder, "postgres"), Logger: slog.New(slog.NewTextHandler(c.log, nil)),
	})
	if err != nil {
		return err
	}
	if c.db, err = sql.Open("postgres", c.postgres.URL()); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	socket, err := socketOf(c.postgres.URL())
	if err != nil {
		return err
	}
	if c.door, err = openDoor(ctx, address, socket); err != nil {
		return err
	}
	migrate := exec.CommandContext(ctx, c.built.dealwright, "migrate", "up")
	migrate.Env = append(plainEnvironment(), "DATABASE_URL="+c.postgres.URL(), "DEALWRIGHT_ENCRYPTION_KEY="+encryptionKey)
	if said, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, said)
	}
	return nil
}

// socketOf is the file of the socket that a URL of privatepostgres names.
func socketOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("the address of the database: %w", err)
	}
	return filepath.Join(u.Query().Get("host"), ".s.PGSQL."+u.Query().Get("port")), nil
}

func (c *Cluster) startTemporal(address string) (err error) {
	_, port, _ := strings.Cut(address, ":")
	c.temporal, err = startProcess(program{
		name: temporalName, path: c.built.temporal, args: []string{"-dir", filepath.Join(c.folder, temporalName), "-port", port},
		env: plainEnvironment(), log: c.logOf(temporalName), ready: "ready ",
	})
	return err
}

func (c *Cluster) startEngine(name, postgresAddress, temporalAddress string, port func() string) (err error) {
	role, _, _ := strings.Cut(name, "-")
	p := program{
		name: name, path: c.built.dealwright, args: []string{role}, log: c.logOf(name),
		env: append(plainEnvironment(),
			"DATABASE_URL=postgres://dealwright@"+postgresAddress+"/dealwright?sslmode=disable",
			"TEMPORAL_ADDRESS="+temporalAddress, "TEMPORAL_NAMESPACE=default",
			"DEALWRIGHT_KEY="+adminKey, "DEALWRIGHT_ENCRYPTION_KEY="+encryptionKey,
			"DEALWRIGHT_DOCUMENTS="+c.bucket.path, "DEALWRIGHT_ALLOW_TARGETS=127.0.0.0/8,::1/128",
			"DEALWRIGHT_RETRY_SCHEDULE="+engineSchedule,
		),
	}
	if role == "api" {
		address := port()
		p.env = append(p.env, "DEALWRIGHT_ADDR="+address)
		c.apis = append(c.apis, "http://"+address)
	} else {
		p.ready = `"msg":"working"`
	}
	c.engine[name], err = startProcess(p)
	return err
}

// plainEnvironment is ours without what would lead a process elsewhere or make it another one.
func plainEnvironment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "DEALWRIGHT_") || strings.HasPrefix(entry, "TEMPORAL_") || strings.HasPrefix(entry, "DATABASE_URL=") ||
			strings.HasPrefix(entry, "LD_PRELOAD=") || strings.HasPrefix(entry, "FAKETIME_") {
			continue
		}
		kept = append(kept, entry)
	}
	return kept
}

// APIs are the base URLs of the API processes.
func (c *Cluster) APIs() []string { return c.apis }

// Key is the admin key of company 1.
func (c *Cluster) Key() string { return adminKey }

// DatabaseURL leads straight to Postgres, past the proxies.
func (c *Cluster) DatabaseURL() string { return c.postgres.URL() }

// Logs is the folder with what each process says.
func (c *Cluster) Logs() string { return filepath.Join(c.folder, "logs") }

func (c *Cluster) logOf(name string) string { return filepath.Join(c.Logs(), name+".log") }

// processes are all but Postgres, which has a supervisor of its own.
func (c *Cluster) processes() []*process {
	var all []*process
	for _, name := range append(append([]string{}, apiNames...), workerNames...) {
		if p := c.engine[name]; p != nil {
			all = append(all, p)
		}
	}
	if c.temporal != nil {
		all = append(all, c.temporal)
	}
	return all
}

// Surprises are the processes that ended although nobody killed them, which none may.
func (c *Cluster) Surprises() []string {
	var all []string
	for _, p := range c.processes() {
		all = append(all, p.surprises()...)
	}
	return all
}

// healthPatience bounds the wait for a cluster to be ready; a worker waits up to a minute between its tries.
const healthPatience = 90 * time.Second

// Healthy waits until every process is up and ready, or says which is not.
func (c *Cluster) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	return until(ctx, c.check)
}

// check says what is not ready.
func (c *Cluster) check(ctx context.Context) error {
	processes := c.processes()
	all := make([]error, 0, 1+len(processes)+len(c.apis))
	all = append(all, c.db.PingContext(ctx))
	for _, p := range processes {
		all = append(all, p.check())
	}
	for _, api := range c.apis {
		all = append(all, isReady(ctx, api))
	}
	return errors.Join(all...)
}

// until asks again and again until there is no error or the context ends.
func until(ctx context.Context, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func isReady(ctx context.Context, api string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", api, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", api, err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", api, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/readyz answers %d: %s", api, response.StatusCode, said)
	}
	return nil
}

// endPatience is how long a process may take to leave when it is asked to.
const endPatience = 15 * time.Second

// Stop ends everything in the reverse order of its start. The folder stays; Remove removes it.
func (c *Cluster) Stop() error {
	ended := make(chan error)
	all := c.processes()
	engine := all[:len(all)-min(len(all), count(c.temporal))]
	for _, p := range engine {
		go func() { ended <- p.end(endPatience) }()
	}
	var failed []error
	for range engine {
		failed = append(failed, <-ended)
	}
	if c.temporal != nil {
		failed = append(failed, c.temporal.end(endPatience))
	}
	c.proxies.close()
	if c.door != nil {
		failed = append(failed, c.door.close())
	}
	if c.db != nil {
		failed = append(failed, c.db.Close())
	}
	if c.postgres != nil {
		failed = append(failed, c.postgres.Stop())
	}
	if c.bucket != nil {
		failed = append(failed, c.bucket.close())
	}
	if c.log != nil {
		failed = append(failed, c.log.Close())
	}
	return errors.Join(failed...)
}

func count(p *process) int {
	if p == nil {
		return 0
	}
	return 1
}

// Remove removes what a stopped cluster leaves behind; of a failed run its logs are kept.
func (c *Cluster) Remove(failed bool) error {
	if c.options.Keep {
		return nil
	}
	// The link that stands for Postgres' folder when its account cannot enter the one that it was given.
	var all []error
	if elsewhere, err := os.Readlink(filepath.Join(c.folder, "postgres", "elsewhere")); err == nil {
		all = append(all, os.RemoveAll(elsewhere))
	}
	entries, err := os.ReadDir(c.folder)
	all = append(all, err)
	for _, entry := range entries {
		if !failed || entry.Name() != "logs" {
			all = append(all, os.RemoveAll(filepath.Join(c.folder, entry.Name())))
		}
	}
	if !failed {
		all = append(all, os.Remove(c.folder))
	}
	return errors.Join(all...)
}
