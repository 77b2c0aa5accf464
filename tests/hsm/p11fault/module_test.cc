// libp11fault.so in front of SoftHSM 2, as kekd-hsm-worker would load it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/hsm/p11fault/names.h"

namespace kekd::p11fault {
namespace {

constexpr char kSoftHsm[] = "/usr/lib/softhsm/libsofthsm2.so";
constexpr char kPin[] = "test-pin-1234";
using Bytes = std::vector<CK_BYTE>;

CK_BYTE* Text(const char* text) { return reinterpret_cast<CK_BYTE*>(const_cast<char*>(text)); }

// One folder, one SoftHSM token and one module for the whole process: a module is loaded once.
class World {
 public:
  static World& Get() {
    static World* const world = new World;
    return *world;
  }

  const std::string& folder() const { return folder_; }
  CK_FUNCTION_LIST* functions() { return functions_; }

  // Replaces the orders at one blow, as a test has to do it.
  void Order(const std::string& orders) {
    const std::string path = folder_ + "/control";
    std::ofstream(path + ".new") << "module " << kSoftHsm << "\n" << orders << "\n";
    std::filesystem::rename(path + ".new", path);
  }

  // From the file "calls": 0 calls, 1 reached, 2 failed.
  uint64_t Counted(Function function, size_t column) const {
    std::ifstream file(folder_ + "/control.counters/calls", std::ios::binary);
    file.seekg(static_cast<std::streamoff>(static_cast<size_t>(function) * 56 + 32 + column * 8));
    uint64_t value = 0;
    file.read(reinterpret_cast<char*>(&value), sizeof(value));
    return value;
  }

 private:
  World() {
    char name[] = "/tmp/p11fault_test.XXXXXX";
    folder_ = mkdtemp(name);
    std::atexit([] { std::filesystem::remove_all(World::Get().folder()); });
    std::filesystem::create_directory(folder_ + "/tokens");
    std::ofstream(folder_ + "/softhsm2.conf")
        << "directories.tokendir = " << folder_ << "/tokens\nlog.level = ERROR\n";
    setenv("SOFTHSM2_CONF", (folder_ + "/softhsm2.conf").c_str(), 1);
    setenv("P11FAULT_CONTROL", (folder_ + "/control").c_str(), 1);
    Order("");
    void* library = dlopen(KEKD_P11FAULT_PATH, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      std::fprintf(stderr, "%s\n", dlerror());
      return;
    }
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    if (get(&functions_) == CKR_OK) MakeToken();
  }

  void MakeToken() {
    CK_FUNCTION_LIST& f = *functions_;
    CK_SLOT_ID slot = 0;
    CK_ULONG one = 1;
    CK_SESSION_HANDLE session = 0;
    std::string label = "token";
    label.resize(32, ' ');
    f.C_Initialize(nullptr);
    f.C_GetSlotList(CK_TRUE, &slot, &one);
    f.C_InitToken(slot, Text(kPin), sizeof(kPin) - 1, Text(label.c_str()));
    f.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session);
    f.C_Login(session, CKU_SO, Text(kPin), sizeof(kPin) - 1);
    f.C_InitPIN(session, Text(kPin), sizeof(kPin) - 1);
    f.C_Finalize(nullptr);
  }

  std::string folder_;
  CK_FUNCTION_LIST* functions_ = nullptr;
};

class ModuleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kSoftHsm)) GTEST_SKIP() << "SoftHSM 2 is not installed";
    world_.Order("");
    ASSERT_NE(world_.functions(), nullptr);
    ASSERT_EQ(f_.C_Initialize(nullptr), CKR_OK);
  }
  void TearDown() override {
    world_.Order("");
    if (world_.functions() != nullptr) f_.C_Finalize(nullptr);
  }

  std::vector<CK_SLOT_ID> Slots() {
    CK_ULONG count = 16;
    std::vector<CK_SLOT_ID> slots(count);
    EXPECT_EQ(f_.C_GetSlotList(CK_TRUE, slots.data(), &count), CKR_OK);
    slots.resize(count);
    return slots;
  }
  CK_TOKEN_INFO TokenInfo(CK_SLOT_ID slot) {
    CK_TOKEN_INFO info = {};
    EXPECT_EQ(f_.C_GetTokenInfo(slot, &info), CKR_OK);
    return info;
  }
  CK_SLOT_ID Slot() {
    for (const CK_SLOT_ID slot : Slots()) {
      if (std::memcmp(TokenInfo(slot).label, "token ", 6) == 0) return slot;
    }
    ADD_FAILURE() << "the token is not there";
    return 0;
  }
  CK_SESSION_HANDLE Open() {
    CK_SESSION_HANDLE session = 0;
    EXPECT_EQ(
        f_.C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
        CKR_OK);
    return session;
  }
  CK_RV Login(CK_SESSION_HANDLE session, const char* pin = kPin) {
    return f_.C_Login(session, CKU_USER, Text(pin), std::strlen(pin));
  }
  CK_RV Random(CK_SESSION_HANDLE session) {
    CK_BYTE bytes[4];
    return f_.C_GenerateRandom(session, bytes, sizeof(bytes));
  }
  CK_RV Info(CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info;
    return f_.C_GetSessionInfo(session, &info);
  }
  // An AES-256 session key.
  CK_OBJECT_HANDLE Key(CK_SESSION_HANDLE session) {
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, nullptr, 0};
    CK_ULONG size = 32;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE attributes[] = {{CKA_VALUE_LEN, &size, sizeof(size)},
                                 {CKA_PRIVATE, &no, sizeof(no)},
                                 {CKA_ENCRYPT, &yes, sizeof(yes)},
                                 {CKA_DECRYPT, &yes, sizeof(yes)}};
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(f_.C_GenerateKey(session, &mechanism, attributes, 4, &key), CKR_OK);
    return key;
  }
  CK_RV EncryptInit(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, Bytes* iv) {
    CK_GCM_PARAMS gcm = Parameters(iv);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    return f_.C_EncryptInit(session, &mechanism, key);
  }
  Bytes Encrypt(CK_SESSION_HANDLE session) {
    CK_ULONG size = 0;
    EXPECT_EQ(f_.C_Encrypt(session, Text("plain"), 5, nullptr, &size), CKR_OK);
    Bytes out(size);
    --size;
    EXPECT_EQ(f_.C_Encrypt(session, Text("plain"), 5, out.data(), &size), CKR_BUFFER_TOO_SMALL);
    size = out.size();
    EXPECT_EQ(f_.C_Encrypt(session, Text("plain"), 5, out.data(), &size), CKR_OK);
    out.resize(size);
    return out;
  }
  std::string Decrypt(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, Bytes iv, Bytes in) {
    CK_GCM_PARAMS gcm = Parameters(&iv);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    EXPECT_EQ(f_.C_DecryptInit(session, &mechanism, key), CKR_OK);
    std::string out(100, '\0');
    CK_ULONG size = out.size();
    EXPECT_EQ(f_.C_Decrypt(session, in.data(), in.size(), Text(out.data()), &size), CKR_OK);
    out.resize(size);
    return out;
  }
  static CK_GCM_PARAMS Parameters(Bytes* iv) {
    CK_GCM_PARAMS gcm = {};
    gcm.pIv = iv == nullptr || iv->empty() ? nullptr : iv->data();
    gcm.ulIvLen = iv == nullptr ? 0 : iv->size();
    gcm.ulIvBits = gcm.ulIvLen * 8;
    gcm.pAAD = Text("aad");
    gcm.ulAADLen = 3;
    gcm.ulTagBits = 128;
    return gcm;
  }

  World& world_ = World::Get();
  CK_FUNCTION_LIST& f_ = *world_.functions();
};

using ModuleDeathTest = ModuleTest;

TEST_F(ModuleTest, PassesCallsThrough) {
  const CK_SESSION_HANDLE session = Open();
  EXPECT_EQ(Login(session, "wrong-pin"), CKR_PIN_INCORRECT);
  EXPECT_EQ(Login(session), CKR_OK);
  EXPECT_EQ(Login(session), CKR_USER_ALREADY_LOGGED_IN);
  const CK_OBJECT_HANDLE key = Key(session);
  Bytes iv(12, 7);
  ASSERT_EQ(EncryptInit(session, key, &iv), CKR_OK);
  const Bytes sealed = Encrypt(session);
  EXPECT_EQ(sealed.size(), 5U + 16U);
  EXPECT_EQ(Decrypt(session, key, iv, sealed), "plain");
  EXPECT_EQ(f_.C_CloseSession(session), CKR_OK);
  EXPECT_EQ(Random(session), CKR_SESSION_HANDLE_INVALID);
}

TEST_F(ModuleTest, CountsCalls) {
  const CK_SESSION_HANDLE session = Open();
  const uint64_t calls = world_.Counted(Function::kLogin, 0);
  const uint64_t reached = world_.Counted(Function::kLogin, 1);
  const uint64_t failed = world_.Counted(Function::kLogin, 2);
  EXPECT_EQ(Login(session), CKR_OK);
  world_.Order("pin-locked");
  EXPECT_EQ(Login(session), CKR_PIN_LOCKED);
  EXPECT_EQ(world_.Counted(Function::kLogin, 0), calls + 2);
  EXPECT_EQ(world_.Counted(Function::kLogin, 1), reached + 1);
  EXPECT_EQ(world_.Counted(Function::kLogin, 2), failed + 1);
}

TEST_F(ModuleTest, LiesAtTheCallThatWasOrdered) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_GenerateRandom at 2 return CKR_DEVICE_ERROR times 2");
  EXPECT_EQ(Random(session), CKR_OK);
  EXPECT_EQ(Random(session), CKR_DEVICE_ERROR);
  // It goes on counting while other lines change.
  world_.Order("C_Sign crash\nC_GenerateRandom at 2 return CKR_DEVICE_ERROR times 2");
  EXPECT_EQ(Random(session), CKR_DEVICE_ERROR);
  EXPECT_EQ(Random(session), CKR_OK);
  world_.Order("C_GenerateRandom return 0x80000123 always # another order");
  EXPECT_EQ(Random(session), 0x80000123U);
  EXPECT_EQ(Random(session), 0x80000123U);
  world_.Order("");
  EXPECT_EQ(Random(session), CKR_OK);
}

TEST_F(ModuleTest, ReachesTheModuleAndThenLies) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_Login return-after CKR_DEVICE_ERROR");
  EXPECT_EQ(Login(session), CKR_DEVICE_ERROR);
  EXPECT_EQ(Login(session), CKR_USER_ALREADY_LOGGED_IN);
}

TEST_F(ModuleTest, DoesNotReachTheModuleWhenItLiesAtOnce) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_Login return CKR_DEVICE_ERROR");
  EXPECT_EQ(Login(session), CKR_DEVICE_ERROR);
  EXPECT_EQ(Login(session), CKR_OK);
}

TEST_F(ModuleDeathTest, CountsAcrossProcesses) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order(
      "C_GenerateRandom at 2 return CKR_DEVICE_ERROR as all in-all\n"
      "C_GetSessionInfo at 2 return CKR_DEVICE_ERROR");
  EXPECT_EXIT(_exit(Random(session) == CKR_OK && Info(session) == CKR_OK ? 0 : 1),
              testing::ExitedWithCode(0), "");
  EXPECT_EQ(Random(session), CKR_DEVICE_ERROR);
  EXPECT_EQ(Info(session), CKR_OK);
  EXPECT_EQ(Random(session), CKR_OK);
  uint64_t words[2] = {};
  std::ifstream(world_.folder() + "/control.counters/order-all", std::ios::binary)
      .read(reinterpret_cast<char*>(words), sizeof(words));
  EXPECT_EQ(words[0], 3U);  // calls
  EXPECT_EQ(words[1], 1U);  // faults
}

TEST_F(ModuleDeathTest, EndsTheProcess) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_GenerateRandom crash");
  EXPECT_EXIT(Random(session), testing::KilledBySignal(SIGSEGV), "");
  world_.Order("C_GenerateRandom abort");
  EXPECT_EXIT(Random(session), testing::KilledBySignal(SIGABRT), "");
  world_.Order("C_GenerateRandom exit 7");
  EXPECT_EXIT((std::atexit([] { _exit(7); }), Random(session)), testing::ExitedWithCode(7), "");
}

TEST_F(ModuleTest, HangsUntilTheOrderIsGone) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_GenerateRandom hang always as hanging");
  std::atomic<bool> answered = false;
  std::thread caller([&] {
    EXPECT_EQ(Random(session), CKR_OK);
    answered = true;
  });
  // It has begun to hang; others are served meanwhile.
  const std::string counter = world_.folder() + "/control.counters/order-hanging";
  for (uint64_t faults = 0; faults == 0;) {
    std::ifstream file(counter, std::ios::binary);
    file.seekg(8);
    file.read(reinterpret_cast<char*>(&faults), sizeof(faults));
  }
  EXPECT_EQ(Info(session), CKR_OK);
  EXPECT_FALSE(answered);
  world_.Order("");
  caller.join();
}

TEST_F(ModuleTest, HangsAndDelaysForATime) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_GenerateRandom hang 1\nC_GetSessionInfo delay 20000");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Random(session), CKR_OK);
  EXPECT_EQ(Random(session), CKR_OK);
  EXPECT_EQ(Info(session), CKR_OK);
  EXPECT_EQ(Info(session), CKR_OK);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1040));
}

TEST_F(ModuleTest, KillsSessions) {
  const CK_SESSION_HANDLE first = Open();
  const CK_SESSION_HANDLE second = Open();
  EXPECT_EQ(Login(first), CKR_OK);
  world_.Order("* at 2 sessions-killed");
  EXPECT_EQ(Random(first), CKR_OK);
  EXPECT_EQ(Random(first), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(Random(second), CKR_SESSION_HANDLE_INVALID);
  const CK_SESSION_HANDLE third = Open();
  EXPECT_EQ(Random(third), CKR_OK);
  EXPECT_EQ(Random(first), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(Login(third), CKR_OK);  // that was gone too
}

TEST_F(ModuleTest, TakesTheTokenAwayAndGivesItBack) {
  const CK_SLOT_ID slot = Slot();
  const CK_SESSION_HANDLE session = Open();
  EXPECT_EQ(Login(session), CKR_OK);
  world_.Order("token-gone");
  EXPECT_EQ(Random(session), CKR_DEVICE_REMOVED);
  EXPECT_TRUE(Slots().empty());
  CK_TOKEN_INFO info;
  EXPECT_EQ(f_.C_GetTokenInfo(slot, &info), CKR_TOKEN_NOT_PRESENT);
  CK_SESSION_HANDLE none = 0;
  EXPECT_EQ(f_.C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &none),
            CKR_TOKEN_NOT_PRESENT);
  world_.Order("");
  EXPECT_EQ(Random(session), CKR_SESSION_HANDLE_INVALID);
  const CK_SESSION_HANDLE other = Open();
  EXPECT_EQ(Random(other), CKR_OK);
  EXPECT_EQ(Login(other), CKR_OK);
}

TEST_F(ModuleTest, ShowsATokenAgainAfterReinitialisationOnly) {
  world_.Order("token-gone until-reinit");
  EXPECT_TRUE(Slots().empty());
  world_.Order("");
  EXPECT_TRUE(Slots().empty());
  EXPECT_EQ(f_.C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(f_.C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(Random(Open()), CKR_OK);
}

TEST_F(ModuleTest, RenumbersSlotsAndObjects) {
  world_.Order("renumber");
  const CK_SLOT_ID slot = Slot();
  EXPECT_EQ(Slot(), slot);
  CK_SESSION_HANDLE session = Open();
  const CK_OBJECT_HANDLE key = Key(session);
  Bytes iv(12, 7);
  EXPECT_EQ(EncryptInit(session, key, &iv), CKR_OK);
  EXPECT_EQ(f_.C_CloseSession(session), CKR_OK);
  session = Open();
  const CK_OBJECT_HANDLE other = Key(session);
  EXPECT_NE(other, key);
  EXPECT_EQ(EncryptInit(session, key, &iv), CKR_KEY_HANDLE_INVALID);
  EXPECT_EQ(f_.C_DestroyObject(session, key), CKR_OBJECT_HANDLE_INVALID);
  EXPECT_EQ(f_.C_DestroyObject(session, other), CKR_OK);
  EXPECT_EQ(f_.C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(f_.C_Initialize(nullptr), CKR_OK);
  EXPECT_NE(Slot(), slot);
  CK_TOKEN_INFO info;
  EXPECT_EQ(f_.C_GetTokenInfo(slot, &info), CKR_SLOT_ID_INVALID);
}

TEST_F(ModuleTest, ChangesWhatIsToldOfTheToken) {
  const CK_SLOT_ID slot = Slot();
  EXPECT_EQ(TokenInfo(slot).flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED), 0U);
  world_.Order("pin-final-try\nmax-sessions 2");
  EXPECT_NE(TokenInfo(slot).flags & CKF_USER_PIN_FINAL_TRY, 0U);
  EXPECT_EQ(TokenInfo(slot).ulMaxSessionCount, 2U);
  const CK_SESSION_HANDLE first = Open();
  Open();
  CK_SESSION_HANDLE third = 0;
  EXPECT_EQ(f_.C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &third),
            CKR_SESSION_COUNT);
  EXPECT_EQ(f_.C_CloseSession(first), CKR_OK);
  Open();
  world_.Order("max-sessions 2 not-told");
  EXPECT_EQ(TokenInfo(slot).ulMaxSessionCount, CK_UNAVAILABLE_INFORMATION);
}

TEST_F(ModuleTest, MasksMechanisms) {
  const auto lists = [&] {
    CK_ULONG count = 0;
    EXPECT_EQ(f_.C_GetMechanismList(Slot(), nullptr, &count), CKR_OK);
    std::vector<CK_MECHANISM_TYPE> list(count);
    EXPECT_EQ(f_.C_GetMechanismList(Slot(), list.data(), &count), CKR_OK);
    return std::count(list.begin(), list.end(), CKM_AES_GCM);
  };
  EXPECT_EQ(lists(), 1);
  const CK_SESSION_HANDLE session = Open();
  const CK_OBJECT_HANDLE key = Key(session);
  world_.Order("mask-mechanism CKM_AES_GCM");
  EXPECT_EQ(lists(), 0);
  Bytes iv(12, 7);
  EXPECT_EQ(EncryptInit(session, key, &iv), CKR_MECHANISM_INVALID);
}

TEST_F(ModuleTest, MakesTheIvInTheCallersBuffer) {
  const CK_SESSION_HANDLE session = Open();
  const CK_OBJECT_HANDLE key = Key(session);
  world_.Order("gcm-iv token");
  Bytes own(12, 7);
  EXPECT_EQ(EncryptInit(session, key, &own), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_EQ(EncryptInit(session, key, nullptr), CKR_MECHANISM_PARAM_INVALID);
  Bytes iv(12, 0);
  ASSERT_EQ(EncryptInit(session, key, &iv), CKR_OK);
  const Bytes sealed = Encrypt(session);
  EXPECT_NE(iv, Bytes(12, 0));
  EXPECT_EQ(sealed.size(), 5U + 16U);
  EXPECT_EQ(Decrypt(session, key, iv, sealed), "plain");
}

TEST_F(ModuleTest, AppendsTheIv) {
  const CK_SESSION_HANDLE session = Open();
  const CK_OBJECT_HANDLE key = Key(session);
  world_.Order("gcm-iv token-appended");
  Bytes own(12, 0);
  EXPECT_EQ(EncryptInit(session, key, &own), CKR_MECHANISM_PARAM_INVALID);
  ASSERT_EQ(EncryptInit(session, key, nullptr), CKR_OK);
  const Bytes sealed = Encrypt(session);
  ASSERT_EQ(sealed.size(), 5U + 16U + 16U);
  const Bytes iv(sealed.end() - 16, sealed.end());
  EXPECT_EQ(Decrypt(session, key, iv, Bytes(sealed.begin(), sealed.end() - 16)), "plain");
}

TEST_F(ModuleTest, DoesNothingWithOrdersItDoesNotUnderstand) {
  const CK_SESSION_HANDLE session = Open();
  world_.Order("C_GenerateRandom sing");
  EXPECT_EQ(Random(session), 0x80000badU);
  world_.Order("");
  EXPECT_EQ(Random(session), CKR_OK);
}

}  // namespace
}  // namespace kekd::p11fault
