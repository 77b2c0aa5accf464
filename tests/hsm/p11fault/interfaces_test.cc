// libp11fault.so in front of NSS softokn, which has the interface of PKCS#11 3.0.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/hsm/p11fault/cryptoki3.h"
#include "tests/hsm/p11fault/names.h"
#include "tests/hsm/tokens/test_token.h"
#include "tests/support/temp_directory.h"

namespace kekd::p11fault {
namespace {

constexpr CK_SLOT_ID kKeySlot = 2;  // "NSS User Private Key and Certificate Services"
using GetInterfaceList = decltype(FunctionList3::C_GetInterfaceList);
using GetInterface = decltype(FunctionList3::C_GetInterface);

CK_BYTE* Bytes(std::string& text) { return reinterpret_cast<CK_BYTE*>(text.data()); }

// One token and one module for the whole process: a module is loaded once.
class World {
 public:
  static World& Get() {
    static World* const world = new World;
    return *world;
  }

  bool is_there() const { return token_.has_value(); }
  void* library() const { return library_; }
  testing::TestToken& token() { return *token_; }

  void Order(const std::string& orders) {
    const std::string path = folder_->File("control");
    std::ofstream(path + ".new") << "module " << token_->module << "\n" << orders << "\n";
    std::filesystem::rename(path + ".new", path);
  }

  uint64_t Calls(Function function) const {
    std::ifstream file(folder_->File("control.counters/calls"), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(static_cast<size_t>(function) * 56 + 32));
    uint64_t value = 0;
    file.read(reinterpret_cast<char*>(&value), sizeof(value));
    return value;
  }

 private:
  World() {
    token_ = testing::MakeTestToken("nss", folder_->path(), "p11fault", "test-pin-1234");
    if (!token_.has_value()) return;
    setenv("P11FAULT_CONTROL", folder_->File("control").c_str(), 1);
    Order("");
    library_ = dlopen(KEKD_P11FAULT_PATH, RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) std::fprintf(stderr, "%s\n", dlerror());
    std::atexit([] { World::Get().folder_.reset(); });
  }

  std::optional<testing::TempDirectory> folder_ = std::make_optional<testing::TempDirectory>();
  std::optional<testing::TestToken> token_;
  void* library_ = nullptr;
};

class InterfacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.is_there()) GTEST_SKIP() << "NOT INSTALLED: nss";
    world_.Order("");
    ASSERT_NE(world_.library(), nullptr);
    list_ = reinterpret_cast<GetInterfaceList>(dlsym(world_.library(), "C_GetInterfaceList"));
    get_ = reinterpret_cast<GetInterface>(dlsym(world_.library(), "C_GetInterface"));
  }
  void TearDown() override {
    if (!world_.is_there()) return;
    world_.Order("");
    if (f_ != nullptr) f_->base.C_Finalize(nullptr);
  }

  // The interface of this version; null if there is none.
  Interface* Find(CK_BYTE major, CK_BYTE minor) {
    std::string name = kStandardInterface;
    CK_VERSION version = {major, minor};
    Interface* found = nullptr;
    return get_(Bytes(name), &version, &found, 0) == CKR_OK ? found : nullptr;
  }

  // A session with a key, through the interface of 3.0.
  void Begin() {
    Interface* const newest = Find(3, 0);
    ASSERT_NE(newest, nullptr);
    f_ = static_cast<FunctionList3*>(newest->functions);
    CK_C_INITIALIZE_ARGS arguments = {};
    arguments.flags = CKF_OS_LOCKING_OK;
    arguments.pReserved = world_.token().init_arguments.data();
    ASSERT_EQ(f_->base.C_Initialize(&arguments), CKR_OK);
    ASSERT_EQ(f_->base.C_OpenSession(kKeySlot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                     nullptr, &session_),
              CKR_OK);
    std::string pin = "test-pin-1234";
    ASSERT_EQ(f_->base.C_Login(session_, CKU_USER, Bytes(pin), pin.size()), CKR_OK);
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, nullptr, 0};
    CK_ULONG size = 32;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE attributes[] = {{CKA_VALUE_LEN, &size, sizeof(size)},
                                 {CKA_ENCRYPT, &yes, sizeof(yes)},
                                 {CKA_DECRYPT, &yes, sizeof(yes)}};
    ASSERT_EQ(f_->base.C_GenerateKey(session_, &mechanism, attributes, 3, &key_), CKR_OK);
  }

  CK_RV MessageEncryptInit() {
    CK_MECHANISM mechanism = {CKM_AES_GCM, nullptr, 0};
    return f_->C_MessageEncryptInit(session_, &mechanism, key_);
  }
  CK_RV EncryptMessage(std::string& iv, std::string& tag, std::string& out) {
    GcmMessage parameter = {.iv = Bytes(iv),
                            .iv_size = iv.size(),
                            .iv_fixed_bits = 0,
                            .iv_generator = kIvFromRandom,
                            .tag = Bytes(tag),
                            .tag_size_bits = tag.size() * 8};
    std::string data = "data", plain = "plain";
    CK_ULONG size = out.size();
    const CK_RV rv =
        f_->C_EncryptMessage(session_, &parameter, sizeof(parameter), Bytes(data), data.size(),
                             Bytes(plain), plain.size(), Bytes(out), &size);
    if (rv == CKR_OK) out.resize(size);
    return rv;
  }
  CK_RV DecryptMessage(std::string iv, std::string tag, std::string in, std::string& out) {
    CK_MECHANISM mechanism = {CKM_AES_GCM, nullptr, 0};
    const CK_RV begun = f_->C_MessageDecryptInit(session_, &mechanism, key_);
    if (begun != CKR_OK) return begun;
    GcmMessage parameter = {.iv = Bytes(iv),
                            .iv_size = iv.size(),
                            .iv_fixed_bits = 0,
                            .iv_generator = 0,
                            .tag = Bytes(tag),
                            .tag_size_bits = tag.size() * 8};
    std::string data = "data";
    CK_ULONG size = out.size();
    const CK_RV rv = f_->C_DecryptMessage(session_, &parameter, sizeof(parameter), Bytes(data),
                                          data.size(), Bytes(in), in.size(), Bytes(out), &size);
    if (rv == CKR_OK) out.resize(size);
    f_->C_MessageDecryptFinal(session_);
    return rv;
  }
  CK_RV EncryptInit() {
    std::string iv(12, 'i'), data = "data";
    CK_GCM_PARAMS gcm = {.pIv = Bytes(iv),
                         .ulIvLen = iv.size(),
                         .ulIvBits = iv.size() * 8,
                         .pAAD = Bytes(data),
                         .ulAADLen = data.size(),
                         .ulTagBits = 128};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    return f_->base.C_EncryptInit(session_, &mechanism, key_);
  }

  World& world_ = World::Get();
  GetInterfaceList list_ = nullptr;
  GetInterface get_ = nullptr;
  FunctionList3* f_ = nullptr;
  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE key_ = 0;
};

TEST_F(InterfacesTest, OffersBothVersionsUnlessToldOtherwise) {
  CK_ULONG count = 0;
  ASSERT_EQ(list_(nullptr, &count), CKR_OK);
  ASSERT_EQ(count, 2U);
  Interface interfaces[2];
  count = 1;
  EXPECT_EQ(list_(interfaces, &count), CKR_BUFFER_TOO_SMALL);
  ASSERT_EQ(list_(interfaces, &count), CKR_OK);
  EXPECT_STREQ(interfaces[0].name, kStandardInterface);
  EXPECT_EQ(static_cast<CK_FUNCTION_LIST*>(interfaces[0].functions)->version.major, 3);
  EXPECT_EQ(static_cast<CK_FUNCTION_LIST*>(interfaces[1].functions)->version.minor, 40);
  Interface* found = nullptr;
  ASSERT_EQ(get_(nullptr, nullptr, &found, 0), CKR_OK);
  EXPECT_EQ(found->functions, interfaces[0].functions);
  EXPECT_EQ(Find(3, 0), found);
  EXPECT_NE(Find(2, 40), nullptr);
  EXPECT_EQ(Find(3, 2), nullptr);
  std::string vendor = "Vendor NSS Module Interface";
  EXPECT_EQ(get_(Bytes(vendor), nullptr, &found, 0), CKR_FUNCTION_FAILED);

  world_.Order("only-2.40");
  ASSERT_EQ(list_(nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 1U);
  EXPECT_EQ(Find(3, 0), nullptr);
  ASSERT_EQ(get_(nullptr, nullptr, &found, 0), CKR_OK);
  EXPECT_EQ(found, Find(2, 40));
}

TEST_F(InterfacesTest, PassesMessagesOnAndCountsThem) {
  Begin();
  const uint64_t calls = world_.Calls(Function::kEncryptMessage);
  ASSERT_EQ(MessageEncryptInit(), CKR_OK);
  std::string iv(12, '\0'), tag(16, '\0'), out(64, '\0');
  ASSERT_EQ(EncryptMessage(iv, tag, out), CKR_OK);
  EXPECT_EQ(f_->C_MessageEncryptFinal(session_), CKR_OK);
  EXPECT_NE(iv, std::string(12, '\0'));  // the token's
  std::string plain(64, '\0');
  ASSERT_EQ(DecryptMessage(iv, tag, out, plain), CKR_OK);
  EXPECT_EQ(plain, "plain");
  tag[0] = static_cast<char>(tag[0] ^ 1);
  EXPECT_NE(DecryptMessage(iv, tag, out, plain), CKR_OK);
  EXPECT_EQ(world_.Calls(Function::kEncryptMessage), calls + 1);
}

TEST_F(InterfacesTest, LiesAtMessages) {
  Begin();
  world_.Order("C_EncryptMessage return CKR_DEVICE_ERROR\nC_MessageDecryptInit return 0x80000123");
  ASSERT_EQ(MessageEncryptInit(), CKR_OK);
  std::string iv(12, '\0'), tag(16, '\0'), out(64, '\0');
  EXPECT_EQ(EncryptMessage(iv, tag, out), CKR_DEVICE_ERROR);
  ASSERT_EQ(EncryptMessage(iv, tag, out), CKR_OK);
  EXPECT_EQ(f_->C_MessageEncryptFinal(session_), CKR_OK);  // softokn has one for both directions
  std::string plain(64, '\0');
  EXPECT_EQ(DecryptMessage(iv, tag, out, plain), 0x80000123U);
  EXPECT_EQ(DecryptMessage(iv, tag, out, plain), CKR_OK);
}

TEST_F(InterfacesTest, MasksAMechanismInTheFunctionsThatAreNamed) {
  Begin();
  world_.Order("mask-mechanism CKM_AES_GCM in C_EncryptInit C_DecryptInit");
  CK_MECHANISM_INFO info;
  EXPECT_EQ(f_->base.C_GetMechanismInfo(kKeySlot, CKM_AES_GCM, &info), CKR_OK);
  EXPECT_EQ(EncryptInit(), CKR_MECHANISM_INVALID);
  EXPECT_EQ(MessageEncryptInit(), CKR_OK);
  EXPECT_EQ(f_->C_MessageEncryptFinal(session_), CKR_OK);
  world_.Order("mask-mechanism CKM_AES_KEY_WRAP CKM_AES_GCM");
  EXPECT_EQ(f_->base.C_GetMechanismInfo(kKeySlot, CKM_AES_GCM, &info), CKR_MECHANISM_INVALID);
  EXPECT_EQ(MessageEncryptInit(), CKR_MECHANISM_INVALID);
  EXPECT_EQ(EncryptInit(), CKR_MECHANISM_INVALID);
}

TEST_F(InterfacesTest, KeepsALockedPinFromEveryLogin) {
  Begin();
  world_.Order("pin-locked");
  std::string pin = "another";
  EXPECT_EQ(f_->C_LoginUser(session_, CKU_USER, Bytes(pin), pin.size(), nullptr, 0),
            CKR_PIN_LOCKED);
}

}  // namespace
}  // namespace kekd::p11fault
