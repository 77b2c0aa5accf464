/* The protocol of rotations: NODES nodes with a kekd and an API server each, two operators,
 * either of whom may be killed between any two actions, and everything else that may befall.
 * docs/rotation-model.md says what is checked and how; check_model.py runs spin.
 *
 * Bounds (-D): VERSIONS key versions, KILLS of kekctl, FAULTS of nodes and API servers, WRITES by
 * API servers, RESTORES of a snapshot, ABORTS, LOSSES of the node where changes are made. All of
 * them are finite, so every run ends, and where it ends nothing may be left to do.
 * -DWRONG_… does one thing wrong, which has to be found.
 */
#ifndef NODES
#define NODES 3
#endif
#ifndef OBJECTS
#define OBJECTS 2
#endif
#ifndef VERSIONS
#define VERSIONS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifndef RESTORES
#define RESTORES 1
#endif
#ifndef ABORTS
#define ABORTS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#define ALL_NODES ((1 << NODES) - 1)

/* The names of RotationStep (keystore/rotation_record.h), '-' as '_'. Of a ring that never had a
 * rotation the step is 0. */
mtype = { aborted, done, scan, migrate, observe, promote, prove, self_test };

/* A copy of the keyring. Versions are 1 to top; `to` is the one of the newest rotation. */
typedef Ring {
  byte generation;
  byte primary;
  byte top;
  byte to;
  byte proved; /* a bit for each node */
  mtype step;
};

Ring ring[NODES];
byte changes;        /* the node where changes are made */
byte gone;           /* a bit for each version whose material is destroyed, on a device of all */
bool up[NODES];      /* kekd */
byte dek[NODES];     /* the version under which the API server's DEK source is; 0: it has none */
bool lease[NODES];   /* whether it may write with it */
byte answered[NODES]; /* the newest version that Status told this API server */
byte stored[OBJECTS]; /* under which version */
byte snapshot[OBJECTS];
bool restored;       /* since somebody saw that nothing was stale */
byte seen[2];        /* by each operator: the generation that he goes by */
byte waits[2];       /* for these API servers to renew their lease, or to let it run out */
byte kills = KILLS, faults = FAULTS, writes = WRITES, restores = RESTORES, aborts = ABORTS,
     losses = LOSSES;

#define CURRENT ring[changes]
#define HAS_ENDED (CURRENT.step == 0 || CURRENT.step == done || CURRENT.step == aborted)
#define BIT(n) (1 << (n))
#define DIFFER(a, b) (a[0] != b[0] || a[OBJECTS - 1] != b[OBJECTS - 1])

/* What is stored, or may be restored, opens on every node. */
inline check_opens() {
  for (i : 0 .. NODES - 1) {
    for (k : 0 .. OBJECTS - 1) {
      assert(stored[k] <= ring[i].top && snapshot[k] <= ring[i].top);
      assert(!(gone & BIT(stored[k])) && !(gone & BIT(snapshot[k])))
    }
  }
  i = 0; k = 0
}

/* No API server can write under another version than `v`, now or once it is started. */
inline check_observed(v) {
  for (i : 0 .. NODES - 1) {
    assert(dek[i] == 0 || !lease[i] || dek[i] == v);
    assert(ring[i].primary == v)
  }
  i = 0
}

inline copy_ring(a, b) {
  a.generation = b.generation; a.primary = b.primary; a.top = b.top; a.step = b.step; a.to = b.to;
  a.proved = b.proved
}

inline stop_waiting_for(n) {
  waits[0] = waits[0] & ~BIT(n);
  waits[1] = waits[1] & ~BIT(n)
}

inline stop_api_server(n) {
  dek[n] = 0; lease[n] = false;
  stop_waiting_for(n)
}

/* A node: its kekd, its API server, its copy of the keyring. Each action where it changes something. */
proctype Node(byte n) {
  byte i, k;
end:
  do
  /* Status, and Encrypt where the key_id is a new one. */
  :: d_step { up[n] && (dek[n] != ring[n].primary || !lease[n] || ((waits[0] | waits[1]) & BIT(n))) ->
       assert(ring[n].primary >= answered[n]); /* a key_id never comes back */
       answered[n] = ring[n].primary;
       dek[n] = ring[n].primary;
       lease[n] = true;
       stop_waiting_for(n)
     }
  :: d_step { !up[n] && lease[n] -> lease[n] = false; stop_waiting_for(n) }
  :: d_step { !up[n] -> up[n] = true }
  :: d_step { faults > 0 && up[n] -> faults--; up[n] = false }
  :: d_step { faults > 0 && dek[n] != 0 -> faults--; stop_api_server(n) }
  /* docs/procedures/several-nodes.sh take */
  :: d_step { ring[n].generation < CURRENT.generation -> copy_ring(ring[n], CURRENT); up[n] = true }
  /* An operator brings its proof. */
  :: d_step { CURRENT.step == prove && !(CURRENT.proved & BIT(n)) && ring[n].top >= CURRENT.to ->
       CURRENT.proved = CURRENT.proved | BIT(n); CURRENT.generation++ }
  :: d_step { writes > 0 && dek[n] != 0 && lease[n] && stored[0] != dek[n] ->
       writes--; stored[0] = dek[n]; check_opens() }
  od
}

/* etcd, and the disk of the node where changes are made. */
proctype Storage() {
  byte i, k, best;
end:
  do
  :: d_step { DIFFER(stored, snapshot) ->
       for (k : 0 .. OBJECTS - 1) { snapshot[k] = stored[k] }
       k = 0 }
  :: d_step { restores > 0 && DIFFER(stored, snapshot) ->
       restores--; restored = true;
       for (k : 0 .. OBJECTS - 1) { stored[k] = snapshot[k] }
       k = 0;
       for (i : 0 .. NODES - 1) { stop_api_server(i) }
       i = 0 }
  /* The newest copy that is left takes its place. Whoever spoke with it speaks with nobody. */
  :: d_step { losses > 0 && NODES > 1 ->
       losses--;
       best = (changes + 1) % NODES;
       for (i : 0 .. NODES - 1) {
         if
         :: i != changes && ring[i].generation > ring[best].generation -> best = i
         :: else
         fi
       }
       i = changes;
       copy_ring(ring[i], ring[best]);
       stop_api_server(i);
       answered[i] = 0; up[i] = true;
       changes = best;
       seen[0] = 0; seen[1] = 0;
       i = 0; best = 0;
       check_opens() }
  od
}

#define COMMIT(next) CURRENT.step = next; CURRENT.generation++
#define GOES_ON (seen[o] == CURRENT.generation)
#define STALE (stored[0] != CURRENT.to || stored[OBJECTS - 1] != CURRENT.to)
#define OF_ALL(a, b, c) ((a) && (b) && (c)) /* nodes 0, 1 and the last */

#ifdef WRONG_SKIP_PROVE
#define ALL_PROVED true
#else
#define ALL_PROVED (CURRENT.proved == BIT(NODES) - 1)
#endif

#ifdef WRONG_SKIP_OBSERVE
#define ALL_SEEN true
#else
#define ALL_SEEN OF_ALL(dek[0] == CURRENT.to, dek[1] == CURRENT.to, dek[NODES - 1] == CURRENT.to)
#endif

#ifdef WRONG_TRUST_TIME
#define ALL_TOOK true
#else
#define ALL_TOOK OF_ALL(ring[0].primary == CURRENT.to, ring[1].primary == CURRENT.to, ring[NODES - 1].primary == CURRENT.to)
#endif

#ifdef WRONG_NO_RESUME
#define IS_RESUMED mine
#else
#define IS_RESUMED true
#endif

#define IN_SNAPSHOT(v) (snapshot[0] == v || snapshot[OBJECTS - 1] == v)
#ifdef WRONG_FORGET_SNAPSHOT
#define IN_BACKUPS(v) false
#else
#define IN_BACKUPS(v) IN_SNAPSHOT(v)
#endif
#define USED(v) (stored[0] == v || stored[OBJECTS - 1] == v)
#define WRITTEN(v) (dek[0] == v || dek[1] == v || dek[NODES - 1] == v)
#define ALL_NEWEST OF_ALL(ring[0].generation == CURRENT.generation, ring[1].generation == CURRENT.generation, ring[NODES - 1].generation == CURRENT.generation)
#ifdef WRONG_DESTROY_EARLY
#define NOTHING_REFERS_TO(v) true
#else
#define NOTHING_REFERS_TO(v) (ALL_NEWEST && !WRITTEN(v) && !USED(v) && !IN_BACKUPS(v))
#endif

/* What a kekctl is doing between what it saw and the commit that follows from it. What it does in a
 * commit alone is one action: a kill before or after it leaves nothing that another one doesn't see. */
#define IDLE 0
#define OBSERVED 1
#define WAITED 2
#define MIGRATES 3
#define SCANNED 4
#define RETIRES 5

proctype Operator(byte o) {
  byte doing, object, version, i, k;
#ifdef WRONG_NO_RESUME
  bool mine;
#endif
#ifdef WRONG_PROMOTE_TWICE
  bool twice;
#endif
#ifdef WRONG_KEEP_WAIT
  bool has_waited;
#endif
end:
  do
  :: d_step { doing == IDLE && HAS_ENDED && CURRENT.top < VERSIONS ->
       CURRENT.top++; CURRENT.to = CURRENT.top; CURRENT.proved = 0;
       COMMIT(self_test) }
  :: d_step { doing == IDLE && CURRENT.step == self_test -> COMMIT(prove) }
  :: d_step { doing == IDLE && CURRENT.step == prove && ALL_PROVED -> COMMIT(promote) }
  :: d_step { doing == IDLE && CURRENT.step == promote ->
       for (i : 0 .. NODES - 1) { assert(ring[i].top >= CURRENT.to) }
       i = 0;
       CURRENT.primary = CURRENT.to;
#ifdef WRONG_NO_RESUME
       mine = true;
#endif
       COMMIT(observe);
       check_opens() }
  :: d_step { doing == IDLE && CURRENT.step == observe && ALL_SEEN -> doing = OBSERVED; seen[o] = CURRENT.generation }
  /* Some can't be asked: the copies are taken, and then time has to pass. */
  :: d_step { doing == IDLE && CURRENT.step == observe && ALL_TOOK -> doing = WAITED; seen[o] = CURRENT.generation;
#ifdef WRONG_KEEP_WAIT
       if :: has_waited :: else -> waits[o] = BIT(NODES) - 1 fi;
#else
       waits[o] = BIT(NODES) - 1;
#endif
       for (i : 0 .. NODES - 1) {
         if :: dek[i] == 0 -> waits[o] = waits[o] & ~BIT(i) :: else fi
       }
       i = 0 }
  :: d_step { GOES_ON && (doing == OBSERVED || (doing == WAITED && waits[o] == 0)) ->
       check_observed(CURRENT.to);
#ifdef WRONG_KEEP_WAIT
       has_waited = true;
#endif
       doing = IDLE; seen[o] = 0;
       COMMIT(migrate) }
#ifdef WRONG_EARLY_MIGRATE
  :: d_step { doing == IDLE && CURRENT.step == observe ->
       check_observed(CURRENT.to); doing = MIGRATES; seen[o] = CURRENT.generation }
#endif
  :: d_step { doing == IDLE && CURRENT.step == migrate && IS_RESUMED -> check_observed(CURRENT.to); doing = MIGRATES; seen[o] = CURRENT.generation }
  :: d_step { doing == MIGRATES && object < OBJECTS && dek[0] != 0 && lease[0] ->
       stored[object] = dek[0]; object++; check_opens() }
  :: d_step { doing == MIGRATES && object < OBJECTS && dek[NODES - 1] != 0 && lease[NODES - 1] ->
       stored[object] = dek[NODES - 1]; object++; check_opens() }
  :: d_step { doing == MIGRATES && object == OBJECTS && GOES_ON ->
       doing = IDLE; object = 0; seen[o] = 0;
       if
       :: CURRENT.step == migrate -> COMMIT(scan)
       :: else
       fi }
  :: d_step { doing == IDLE && CURRENT.step == scan && STALE ->
       check_observed(CURRENT.to); doing = MIGRATES; seen[o] = CURRENT.generation }
  :: d_step { doing == IDLE && CURRENT.step == scan && !STALE ->
       doing = SCANNED; seen[o] = CURRENT.generation; restored = false }
  :: d_step { doing == SCANNED && GOES_ON -> doing = IDLE; seen[o] = 0; COMMIT(done) }
  :: d_step { doing == IDLE && aborts > 0 && !HAS_ENDED ->
       aborts--;
#ifdef WRONG_DESTROY_ABORTED
       if :: CURRENT.primary != CURRENT.to -> gone = gone | BIT(CURRENT.to) :: else fi;
#endif
       COMMIT(aborted);
       check_opens() }
  /* Of the versions that are not the primary the first, 1, is retired: the others are no different. */
  :: d_step { doing == IDLE && HAS_ENDED && CURRENT.primary > 1 && !(gone & BIT(1)) && NOTHING_REFERS_TO(1) -> doing = RETIRES; version = 1; seen[o] = CURRENT.generation }
  /* And one that was never promoted. */
  :: d_step { doing == IDLE && HAS_ENDED && CURRENT.step == aborted && CURRENT.primary != CURRENT.to &&
       CURRENT.to > CURRENT.primary && !(gone & BIT(CURRENT.to)) && 
       NOTHING_REFERS_TO(CURRENT.to) -> doing = RETIRES; version = CURRENT.to; seen[o] = CURRENT.generation }
  :: d_step { doing == RETIRES && GOES_ON ->
       gone = gone | BIT(version); CURRENT.generation++;
       doing = IDLE; version = 0; seen[o] = 0;
       check_opens() }
#ifdef WRONG_PROMOTE_TWICE
  :: d_step { !twice && doing == IDLE && HAS_ENDED && CURRENT.primary > 1 ->
       twice = true; CURRENT.primary--; CURRENT.generation++ }
#endif
  /* The keyring was changed meanwhile, or he was killed. */
  :: d_step { doing != IDLE && (!GOES_ON || kills > 0) ->
       if
       :: GOES_ON -> kills--
       :: else
       fi;
#ifdef WRONG_NO_RESUME
       mine = false;
#endif
       doing = IDLE; object = 0; version = 0; seen[o] = 0; waits[o] = 0 }
  od
}

/* Where nothing can be done any more nothing may be left to do. */
proctype End() {
end:
  timeout ->
  d_step {
    assert(HAS_ENDED);
    assert(CURRENT.step != done || restored || !STALE)
  }
}

init {
  byte n;
  d_step {
    for (n : 0 .. NODES - 1) {
      ring[n].generation = 1; ring[n].primary = 1; ring[n].top = 1;
      up[n] = true; dek[n] = 1; lease[n] = true; answered[n] = 1
    }
    for (n : 0 .. OBJECTS - 1) { stored[n] = 1; snapshot[n] = 1 }
    n = 0
  }
  atomic {
    for (n : 0 .. NODES - 1) { run Node(n) }
    n = 0;
    run Storage(); run Operator(0); run Operator(1); run End()
  }
}
