//! A software token (SoftHSM) in a temporary directory, and tests that run in a process of their own: the library reads
//! where its tokens are from the environment, once for a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where Debian and others keep the library.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

pub const PIN: &str = "98765432";

/// The variable that says where the configuration of the tokens is.
const VARIABLE: &str = "SOFTHSM2_CONF";

pub struct SoftHsm {
    directory: PathBuf,
}

pub fn module() -> PathBuf {
    let found = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("SoftHSM is installed (apt-get install softhsm2)")
}

impl SoftHsm {
    /// A directory with one token that is called `ca-keys`.
    pub fn make(directory: &Path) -> Self {
        std::fs::create_dir_all(directory.join("tokens")).unwrap();
        let conf =
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", directory.join("tokens").display());
        std::fs::write(directory.join("softhsm2.conf"), conf).unwrap();
        let hsm = Self { directory: directory.to_owned() };
        hsm.add_token("ca-keys");
        crate::token_tools::private(&hsm.pin_file(), PIN);
        hsm
    }

    pub fn add_token(&self, label: &str) {
        let arguments = ["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN];
        let made = Command::new("softhsm2-util").args(arguments).env(VARIABLE, self.conf()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    pub fn conf(&self) -> PathBuf {
        self.directory.join("softhsm2.conf")
    }

    pub fn pin_file(&self) -> PathBuf {
        self.directory.join("pin")
    }

    /// Where the token keeps its objects.
    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }

    /// The part of a configuration file that names the token.
    pub fn section(&self) -> String {
        format!(
            "[ca.pkcs11]\nmodule = \"{}\"\ntoken = \"ca-keys\"\npin_file = \"{}\"\nsessions = 2\n",
            module().display(),
            self.pin_file().display()
        )
    }

    pub fn settings(&self) -> chancery::ca::token::Settings {
        chancery::ca::token::Settings {
            module: module(),
            token: "ca-keys".to_owned(),
            pin_file: self.pin_file(),
            sessions: 2,
            keys: vec!["*".to_owned()],
        }
    }
}

/// Writes a file that only its owner can read.
pub fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs the test of that full name in a process of its own with a fresh token. Gives the token in that process, and
/// nothing in the one that started it, once the other has passed.
pub fn own_process(test: &str) -> Option<SoftHsm> {
    if let Some(conf) = std::env::var_os(VARIABLE) {
        return Some(SoftHsm { directory: Path::new(&conf).parent().unwrap().to_owned() });
    }
    let directory = TempDir::new().unwrap();
    let hsm = SoftHsm::make(directory.path());
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, hsm.conf())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
    None
}
