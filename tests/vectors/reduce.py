"""Picks the vectors that the tests read out of the large published files, and writes them in one plain form.

usage: reduce.py WYCHEPROOF_DATA CRYPTOGRAPHY_VECTORS OUT    ('rebuild' fetches them and calls this)
"""

import json
import os
import re
import sys

from shamir_mnemonic.shamir import RawShare, _interpolate

WYCHEPROOF, CRYPTOGRAPHY, OUT = sys.argv[1:4]


def write(name, source, vectors):
    with open(os.path.join(OUT, name), "w", encoding="ascii") as out:
        out.write(f"# {source}\n# Made by 'rebuild'; README.md has the licence.\n")
        for vector in vectors:
            out.write("\n" + "".join(f"{key} = {value}".rstrip() + "\n" for key, value in vector.items()))
    print(f"{name}: {len(vectors)}")


def wycheproof(name):
    with open(os.path.join(WYCHEPROOF, f"{name}_test.json"), encoding="utf-8") as file:
        for group in json.load(file)["testGroups"]:
            for test in group["tests"]:
                yield group, test


def published(path):
    with open(os.path.join(CRYPTOGRAPHY, path), encoding="utf-8") as file:
        return file.read()


def blocks(text):
    """The records of a NIST response file, each with the settings in brackets before it."""
    settings, record = {}, {}
    for line in text.splitlines() + [""]:
        line = line.strip()
        setting = re.fullmatch(r"\[(\w+) *= *(\w+)\]", line)
        field = re.fullmatch(r"(\w+) *= *(.*)", line)
        if setting:
            settings[setting[1]] = setting[2]
        elif field:
            record[field[1]] = field[2]
        elif line == "FAIL":
            record["FAIL"] = ""
        elif not line and record:
            yield settings, record
            record = {}


def aes_gcm_wycheproof():
    vectors = [{"id": t["tcId"], "key": t["key"], "nonce": t["iv"], "aad": t["aad"], "plaintext": t["msg"],
                "ciphertext": t["ct"], "tag": t["tag"], "result": t["result"]} for _, t in wycheproof("aes_gcm")]
    write("aes_gcm.wycheproof.txt", "Wycheproof, aes_gcm_test.json", vectors)


def aes_gcm_nist():
    """Of each combination of sizes with the nonce and tag that kekd has: two that open and one that fails."""
    vectors = []
    for bits in (128, 192, 256):
        taken = {}
        for settings, r in blocks(published(f"ciphers/AES/GCM/gcmDecrypt{bits}.rsp")):
            if settings["IVlen"] != "96" or settings["Taglen"] != "128":
                continue
            valid = "FAIL" not in r
            combination = (settings["PTlen"], settings["AADlen"], valid)
            taken[combination] = taken.get(combination, 0) + 1
            if taken[combination] > (2 if valid else 1):
                continue
            name = f"gcmDecrypt{bits} PTlen {settings['PTlen']} AADlen {settings['AADlen']} Count {r['Count']}"
            vectors.append({"id": name, "key": r["Key"], "nonce": r["IV"], "aad": r["AAD"],
                            "plaintext": r.get("PT", ""), "ciphertext": r["CT"], "tag": r["Tag"],
                            "result": "valid" if valid else "invalid"})
    write("aes_gcm.nist.txt", "NIST CAVP, GCM test vectors (gcmtestvectors), gcmDecrypt*.rsp", vectors)


def sha256():
    vectors = []
    for name, most in (("SHA256ShortMsg", 1000), ("SHA256LongMsg", 8)):
        for i, (_, r) in enumerate(blocks(published(f"hashes/SHA2/{name}.rsp"))):
            if "Msg" in r and i < most:
                message = r["Msg"] if r["Len"] != "0" else ""
                vectors.append({"id": f"{name} Len {r['Len']}", "message": message, "digest": r["MD"]})
    write("sha256.nist.txt", "NIST CAVP, SHA test vectors for hashing byte-oriented messages", vectors)


def hmac():
    vectors = [{"id": t["tcId"], "key": t["key"], "message": t["msg"], "tag": t["tag"], "result": t["result"]}
               for _, t in wycheproof("hmac_sha256")]
    write("hmac_sha256.wycheproof.txt", "Wycheproof, hmac_sha256_test.json", vectors)
    text = published("HMAC/rfc-4231-sha256.txt")
    vectors = [{"id": i + 1, "key": r["Key"], "message": r["Msg"], "tag": r["MD"], "result": "valid"}
               for i, (_, r) in enumerate((s, r) for s, r in blocks(text) if "Msg" in r)]
    write("hmac_sha256.rfc4231.txt", "RFC 4231, section 4", vectors)


def hkdf():
    # The first 32 bytes are what ours gives; HKDF's output of another size begins with the same.
    vectors = [{"id": t["tcId"], "key": t["ikm"], "salt": t["salt"], "info": t["info"], "okm": t["okm"][:64]}
               for _, t in wycheproof("hkdf_sha256") if t["size"] >= 32 and t["result"] == "valid"]
    write("hkdf_sha256.wycheproof.txt", "Wycheproof, hkdf_sha256_test.json, outputs of 32 bytes and more", vectors)
    vectors = [{"id": r["COUNT"], "key": r["IKM"], "salt": r["salt"], "info": r["info"], "prk": r["PRK"],
                "okm": r["OKM"][:64]} for r in rfc5869(published("KDF/rfc-5869-HKDF-SHA256.txt"))]
    write("hkdf_sha256.rfc5869.txt", "RFC 5869, appendix A, test cases 1 to 3", vectors)


def rfc5869(text):
    record = {}
    for name, value in re.findall(r"^(\w+) *= *(.*)$", text, re.M):
        if name == "COUNT" and record:
            yield record
            record = {}
        record[name] = value
    yield record


def pbkdf2():
    vectors = [{"id": t["tcId"], "passphrase": t["password"], "salt": t["salt"], "iterations": t["iterationCount"],
                "derived": t["dk"]} for _, t in wycheproof("pbkdf2_hmacsha512") if t["result"] == "valid"]
    write("pbkdf2_hmac_sha512.wycheproof.txt", "Wycheproof, pbkdf2_hmacsha512_test.json", vectors)


def scrypt():
    vectors = []
    for r in rfc5869(published("KDF/scrypt.txt")):
        if int(r["N"]) > 1 << 14:
            continue  # a gibibyte
        vectors.append({"id": f"N {r['N']} r {r['r']} p {r['p']}", "passphrase": r["PASSWORD"].encode().hex(),
                        "salt": r["SALT"].encode().hex(), "log2_n": int(r["N"]).bit_length() - 1, "r": r["r"],
                        "p": r["p"], "derived": r["DERIVED_KEY"]})
    write("scrypt.rfc7914.txt", "RFC 7914, section 12, but for the one of 1 GiB", vectors)


def ed25519():
    """Every message size up to 32, then each 33rd."""
    vectors = []
    for i, line in enumerate(published("asymmetric/Ed25519/sign.input").split()):
        secret, public, message, signed = line.split(":")[:4]
        if i < 33 or i % 33 == 0:
            vectors.append({"id": f"line {i + 1}", "seed": secret[:64], "public": public, "message": message,
                            "signature": signed[:128]})
    write("ed25519.txt", "ed25519.cr.yp.to, sign.input, which RFC 8032's (section 7.1) are taken from", vectors)


def shamir():
    """Polynomials through fixed points, evaluated by SLIP-0039's reference implementation: the same field."""
    vectors = []
    for threshold in range(2, 9):
        points = [RawShare(x, bytes((17 * x + 29 * threshold + 7 * i * i + 3) % 256 for i in range(32)))
                  for x in range(1, threshold + 1)]
        value = {x: _interpolate(points, x).hex() for x in [0] + list(range(threshold + 1, 17))}
        vectors.append({"id": f"threshold {threshold}", "secret": value[0],
                        **{f"share{p.x}": p.data.hex() for p in points},
                        **{f"share{x}": value[x] for x in range(threshold + 1, 17)}})
    write("shamir.slip39.txt", "Evaluated with SLIP-0039's reference implementation (shamir-mnemonic)", vectors)


for make in (aes_gcm_wycheproof, aes_gcm_nist, sha256, hmac, hkdf, pbkdf2, scrypt, ed25519, shamir):
    make()
