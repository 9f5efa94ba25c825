package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc, which is the same on every Linux.
const tick = 10 * time.Millisecond

// cpuTimes is what parts of the machine have used so far. All are zero where there is no /proc.
type cpuTimes struct {
	standalone time.Duration // Temporal, API and worker
	postgres   time.Duration // the postmaster and all its processes
	bench      time.Duration // this process: clients, receiver, and the bare workflow's worker
	machine    time.Duration // everything, these included
}

func readCPU(standalone, postmaster int) (cpuTimes, error) {
	var t cpuTimes
	if !hasProc() {
		return t, nil
	}
	for _, process := range []struct {
		pid  int
		into *time.Duration
	}{{standalone, &t.standalone}, {os.Getpid(), &t.bench}} {
		stat, err := readStat(process.pid)
		if err != nil {
			return t, err
		}
		*process.into = stat.own
	}
	var err error
	if t.postgres, err = treeCPU(postmaster); err != nil {
		return t, err
	}
	t.machine, err = machineCPU()
	return t, err
}

func hasProc() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func (t cpuTimes) minus(u cpuTimes) cpuTimes {
	return cpuTimes{
		standalone: t.standalone - u.standalone, postgres: t.postgres - u.postgres,
		bench: t.bench - u.bench, machine: t.machine - u.machine,
	}
}

// others is what all the rest of the machine used: how far the figures can be trusted.
func (t cpuTimes) others() time.Duration {
	return max(0, t.machine-t.standalone-t.postgres-t.bench)
}

// processStat is what /proc says of a process.
type processStat struct {
	parent int
	own    time.Duration // of the process
	ended  time.Duration // of its children that have ended
}

func readStat(pid int) (processStat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, fmt.Errorf("read CPU time: %w", err)
	}
	return parseStat(string(content))
}

func parseStat(text string) (processStat, error) {
	// The name, in brackets, may hold blanks and brackets itself.
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	const parent, user, system, endedUser, endedSystem = 1, 11, 12, 13, 14 // counted from the state on
	if len(fields) <= endedSystem {
		return processStat{}, fmt.Errorf("read CPU time: %d fields after the name", len(fields))
	}
	n, err := strconv.Atoi(fields[parent])
	if err != nil {
		return processStat{}, fmt.Errorf("read CPU time: %w", err)
	}
	return processStat{
		parent: n,
		own:    ticks(fields[user]) + ticks(fields[system]),
		ended:  ticks(fields[endedUser]) + ticks(fields[endedSystem]),
	}, nil
}

// ticks reads a figure of the kernel's, which is one.
func ticks(field string) time.Duration {
	n, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * tick
}

// treeCPU is what a process and its children have used, those included that have ended.
func treeCPU(root int) (time.Duration, error) {
	top, err := readStat(root)
	if err != nil {
		return 0, err
	}
	sum := top.own + top.ended
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, folder := range all {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}
		// One that cannot be read has ended meanwhile.
		if stat, err := readStat(pid); err == nil && stat.parent == root {
			sum += stat.own
		}
	}
	return sum, nil
}

// machineCPU is the time that all cores together were not idle.
func machineCPU() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	const user, idle, waiting, steal = 1, 4, 5, 8
	var sum time.Duration
	for i, field := range fields {
		if i >= user && i <= steal && i != idle && i != waiting {
			sum += ticks(field)
		}
	}
	return sum, nil
}

// loadAverage is the machine's, of the last minute, and empty where it is not known.
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(content), " ")
	return first
}
