//! Functions with a state that lasts as long as their task.
//!
//! Every task decodes its plan anew, and with that its functions are configured: such a function makes itself afresh then,
//! for the task's partition.

use std::{
    fmt::Debug,
    hash::{Hash, Hasher},
    sync::Mutex,
};

use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion::{
    common::{
        config::{ConfigExtension, ConfigOptions},
        exec_err, extensions_options,
    },
    error::Result as DfResult,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility},
};

use super::generators::{MersenneTwister, XorShift};
use crate::udf::{Args, Ret};

extensions_options! {
    /// What functions may know of the task that they run in.
    pub struct TaskOptions {
        /// Which of the stage's partitions the task makes.
        pub partition: u64, default = 0
    }
}

impl TaskOptions {
    pub fn of(partition: u64) -> Self {
        Self { partition }
    }
}

impl ConfigExtension for TaskOptions {
    const PREFIX: &'static str = "firesteel";
}

#[derive(Debug, Default)]
pub(super) struct TaskState {
    pub partition: i64,
    /// Rows of earlier batches.
    pub rows: i64,
    pub xor_shift: Option<XorShift>,
    pub twister: Option<MersenneTwister>,
}

type Kernel = fn(&mut TaskState, &Args<'_>) -> DfResult<ArrayRef>;

pub(super) struct TaskFunction {
    name: &'static str,
    ret: Ret,
    kernel: Kernel,
    signature: Signature,
    state: Mutex<TaskState>,
}

impl TaskFunction {
    pub(super) fn new(name: &'static str, ret: Ret, kernel: Kernel) -> Self {
        let any = TypeSignature::OneOf(vec![TypeSignature::VariadicAny, TypeSignature::Nullary]);
        Self { name, ret, kernel, signature: Signature::new(any, Volatility::Volatile), state: Mutex::default() }
    }
}

impl Debug for TaskFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for TaskFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TaskFunction {}

impl Hash for TaskFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for TaskFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        match (&self.ret, args.first()) {
            (Ret::Fixed(t), _) => Ok(t.clone()),
            (Ret::Arg(0), Some(t)) => Ok(t.clone()),
            _ => exec_err!("{} has no type", self.name),
        }
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let partition = config.extensions.get::<TaskOptions>().map_or(0, |o| o.partition);
        let fresh = TaskState { partition: i64::try_from(partition).unwrap_or(0), ..TaskState::default() };
        let function = Self {
            name: self.name,
            ret: self.ret.clone(),
            kernel: self.kernel,
            signature: self.signature.clone(),
            state: Mutex::new(fresh),
        };
        Some(ScalarUDF::new_from_impl(function))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let view = Args::of_call(self.name, &args);
        let Ok(mut state) = self.state.lock() else {
            return exec_err!("{} ended in the middle of a batch", self.name);
        };
        (self.kernel)(&mut state, &view).map(ColumnarValue::Array)
    }
}
